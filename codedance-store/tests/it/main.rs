//! The store on SQLite. The target `postgres` has the same tests on Postgres.

mod audit;
mod backup;
mod conformance;
mod damage;
mod driven;
mod file;
mod grouping;
mod retention;
mod support;
mod writers;

/// What the tests of this target run on.
const ON_POSTGRES: bool = false;
