#![doc = include_str!("../README.md")]

#[cfg(feature = "backtest")]
pub use codedance_backtest as backtest;
pub use codedance_core::*;
#[cfg(feature = "process")]
pub use codedance_process as process;
#[cfg(feature = "prom")]
pub use codedance_prom as prom;
#[cfg(feature = "proxy")]
pub use codedance_proxy as proxy;
#[cfg(feature = "report")]
pub use codedance_report as report;
#[cfg(feature = "store")]
pub use codedance_store as store;

/// Runs the code of the adapter guide as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/adapters.md")]
struct AdapterGuide;

/// Runs the code of the operations guide as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/operations.md")]
struct OperationsGuide;
