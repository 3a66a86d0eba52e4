//! Recordings are read, and rollouts replayed against them.

mod journals;
mod matrices;
mod rollouts;
mod samples;
mod tables;
mod world;
