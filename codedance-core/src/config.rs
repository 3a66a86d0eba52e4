//! Plans and policies out of files: what is wrong, where, and how to mend it.
//!
//! ```
//! use codedance_core::config;
//! use codedance_core::decision::Policy;
//!
//! let text = r#"{
//!     "metrics": [
//!         {"name": "errors", "signal": "error_rate", "limits": {"fail": 1}}
//!     ]
//! }"#;
//! let error = config::from_json::<Policy>(text).unwrap_err();
//! assert_eq!(
//!     error.in_file("policy.json").to_string(),
//!     "policy.json, line 3, column 71, metrics[0].limits.fail: `1` does not fit the metric's signal; \
//!      write a share with a percent sign, such as `1%`",
//! );
//! ```

mod json;
mod key;
#[cfg(feature = "yaml")]
mod yaml;

use std::fmt;

use serde::de::DeserializeOwned;

/// Reads a plan, a policy, or anything else that serde can, from JSON.
///
/// # Errors
/// The first thing that is wrong: with the syntax, with a key, or with what a key holds.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    json::read(text)
}

/// Reads a plan, a policy, or anything else that serde can, from YAML.
///
/// # Errors
/// The first thing that is wrong: with the syntax, with a key, or with what a key holds.
#[cfg(feature = "yaml")]
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    yaml::read(text)
}

/// A file that cannot be read: where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Which file, if the caller has [said](ConfigError::in_file) so.
    pub file: Option<String>,
    /// In which line, from 1.
    pub line: usize,
    /// At which character of it, from 1.
    pub column: usize,
    /// Under which key, such as `metrics[1].limits.fail`. Empty: the document as a whole.
    pub key: String,
    /// What is wrong, and how to mend it.
    pub message: String,
}

impl ConfigError {
    /// The same, with the name of the file that was read.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}, ")?;
        }
        write!(f, "line {}, column {}", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, ", {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}
