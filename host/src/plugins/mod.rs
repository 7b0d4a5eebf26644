//! Plugins: from the `Plugin` objects and config maps of the coordination cluster to components that serve in the
//! sandbox, and back to each Plugin's status.
//!
//! ```text
//! watches ── cache ── Controller ── loading ── component     config maps → bytes → a plugin in the sandbox
//!                        │
//!                        ├── serving     who holds which API and role         (pure)
//!                        ├── status      what a Plugin's status says          (pure)
//!                        ├── sandbox     serve, block, withdraw
//!                        └── queue       objects whose answer may differ are looked at again
//! ```
//!
//! What holds:
//!
//! - An API and role that a Plugin claims is never answered by the standard component, from the first decision on: while
//!   nothing is loaded for it, objects wait, and once loading has failed they say so and stay as they are.
//! - A version that cannot be loaded changes nothing but the Plugin's status: what was loaded before goes on serving.
//! - An API that came in one change with another component or other settings waits for these, and is never answered by what was
//!   loaded before.
//! - Every process loads; only the one that leads writes statuses.
//! - At most one component is loaded at a time, away from the threads that drive requests.

mod board;
mod component;
mod controller;
mod known;
mod loading;
mod pulse;
mod report;
mod serving;
mod spec;
mod status;

pub use board::Board;
pub use controller::{Controller, Parts};
