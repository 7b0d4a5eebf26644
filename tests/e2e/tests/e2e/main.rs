//! Whole flows on real API servers. One test program, so that all tests share the control planes that it starts.

mod deploy;
mod kinds;
