//! The store on real databases: SQLite in a file, and Postgres.
//!
//! Postgres is started by `cargo xtask services up`, or is the one that `CODEDANCE_POSTGRES` names, as
//! `postgres://USER@HOST:PORT`; each test makes a database of its own there and drops it.

mod audit;
mod backup;
mod conformance;
mod damage;
mod driven;
mod grouping;
mod retention;
mod support;
