//! Moves that go through stages: each state of a migration, each way out of it, and whatever can get in between.
//!
//! - [`stand`]: a world of moves with what migrations add to it: the Migration of an object, orders, and compute.
//! - [`voyage`]: one configuration that passes through everything, and objects that stop at any point of it.
//!
//! The other files are the tests. The invariants of moves are judged over all that a witness saw, as in `moves`.

mod stand;
mod voyage;

mod anywhere;
mod behind;
mod compute;
mod configurations;
mod crossing;
mod history;
mod mirrors;
mod orders;
mod plugin;
mod pods;
mod rights;
mod stages;
mod upgrade;
mod whole;
