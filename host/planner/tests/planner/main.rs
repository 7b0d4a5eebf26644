//! The planner against a model of the clusters around one object: plans that are written down (`golden`), and what must
//! hold of any plan (`properties`).

mod claims;
mod configurations;
mod deletions;
mod documents;
mod fields;
mod golden;
mod lints;
mod losses;
mod mishaps;
mod moves;
mod offers;
mod placing;
mod properties;
mod render;
mod script;
mod sweeps;
mod texts;
mod versions;
mod world;
