//! Whole flows on real API servers. One test program, so that all tests share the control planes that it starts.

mod bad_input;
mod budget;
mod clusters;
mod copy;
mod crash;
mod delete;
mod deploy;
mod identity;
mod kinds;
mod load;
mod meter;
mod migrations;
mod moves;
mod offers;
mod operations;
mod operator;
mod pair;
mod plugged;
mod plugins;
mod policy;
mod refusals;
mod related;
mod rights;
mod routing;
mod status;
