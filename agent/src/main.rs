//! twintor
fn main() {}
