//! The main job on real traffic.
fn main() {}
