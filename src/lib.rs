#![doc = include_str!("../README.md")]

pub use codedance_core::*;
#[cfg(feature = "process")]
pub use codedance_process as process;
#[cfg(feature = "proxy")]
pub use codedance_proxy as proxy;
#[cfg(feature = "report")]
pub use codedance_report as report;
