//! mpuser on a real machine: TUN devices, paths, and namespace labs.

pub mod lab;
pub mod net;
