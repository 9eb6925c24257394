//! Measures a server from the outside.

fn main() {}
