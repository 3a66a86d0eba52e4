//! The servers of metrics: Prometheus 2 and 3, VictoriaMetrics, and vmauth that stands before it.
//!
//! Each is looked for where an environment variable says, in the folder of what was installed before, and,
//! if its version can be told, in the path. Whatever is missing is installed into that folder, and
//! nothing else on this machine changes: a Debian package is unpacked there instead of being installed,
//! which would start the server as a service.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{folder, noted};
use crate::install::{self, GoBuild};

/// A program that tests start.
struct Program {
    /// How it is called in the folder of what was installed, and in the note that tells the tests its path.
    name: &'static str,
    /// What a message calls it.
    title: &'static str,
    /// The environment variable that may name another one.
    variable: &'static str,
    /// The folder, the file in it, and how they are made.
    folder: &'static str,
    file: &'static str,
    origin: Origin,
    /// How the version begins that one in the path must have; none if it does not tell its version.
    version: Option<&'static str>,
}

enum Origin {
    /// A package of Debian.
    Debian(&'static str),
    Go(GoBuild),
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "prometheus2",
        title: "Prometheus 2",
        variable: "CODEDANCE_PROMETHEUS2",
        folder: "prometheus-2",
        file: "usr/bin/prometheus",
        origin: Origin::Debian("prometheus"),
        version: Some("2."),
    },
    Program {
        name: "prometheus3",
        title: "Prometheus 3.15",
        variable: "CODEDANCE_PROMETHEUS3",
        folder: "prometheus-3.15.0",
        file: "prometheus",
        origin: Origin::Go(GoBuild {
            module: "github.com/prometheus/prometheus@v0.315.0",
            package: "./cmd/prometheus",
            // Without it the server reports an empty version.
            flags: "-s -w -X github.com/prometheus/common/version.Version=3.15.0",
        }),
        version: Some("3.15."),
    },
    // Debian's do not tell their version.
    Program {
        name: "victoria-metrics",
        title: "VictoriaMetrics",
        variable: "CODEDANCE_VICTORIA_METRICS",
        folder: "victoria-metrics",
        file: "usr/bin/victoria-metrics",
        origin: Origin::Debian("victoria-metrics"),
        version: None,
    },
    Program {
        name: "vmauth",
        title: "vmauth",
        variable: "CODEDANCE_VMAUTH",
        folder: "victoria-metrics",
        file: "usr/bin/vmauth",
        origin: Origin::Debian("victoria-metrics"),
        version: None,
    },
];

/// Installs what is missing, notes for the tests where each program is, and returns that, too.
///
/// # Errors
///
/// If one is missing and cannot be installed: what mends it.
pub(crate) fn install() -> Result<Vec<(&'static str, PathBuf)>> {
    let installed = PROGRAMS.iter().map(|program| {
        let path = program.path(env::var_os(program.variable))?;
        let note = noted(program.name).with_extension("path");
        fs::create_dir_all(folder())?;
        fs::write(&note, path.display().to_string())
            .with_context(|| format!("{} cannot be written", note.display()))?;
        Ok((program.title, path))
    });
    installed.collect()
}

impl Program {
    /// Where it is; `named` is what its environment variable says.
    fn path(&self, named: Option<OsString>) -> Result<PathBuf> {
        if let Some(named) = named.map(PathBuf::from) {
            ensure!(
                named.is_absolute() && named.is_file(),
                "{} is `{}`; it has to be the absolute path of a program",
                self.variable,
                named.display(),
            );
            return Ok(named);
        }
        let installed = folder().join(self.folder);
        let file = installed.join(self.file);
        if file.is_file() {
            return Ok(file);
        }
        if let Some(found) = self.in_path() {
            return Ok(found);
        }
        self.install(&installed).with_context(|| {
            let (title, variable) = (self.title, self.variable);
            format!("{title} cannot be installed ({variable} may name one that is there)")
        })?;
        let missing = || format!("there is no {} after its installation", file.display());
        file.is_file().then_some(&file).with_context(missing)?;
        Ok(file)
    }

    fn in_path(&self) -> Option<PathBuf> {
        let wanted = self.version?;
        let found = install::find(Path::new(self.file).file_name()?.to_str()?, Vec::new())?;
        let told = install::stdout(Command::new(&found).arg("--version")).ok()?;
        version(&told)?.starts_with(wanted).then_some(found)
    }

    /// Makes the folder as a whole, or not at all.
    fn install(&self, whole: &Path) -> Result<()> {
        let part = whole.with_extension("part");
        if part.exists() {
            fs::remove_dir_all(&part)?;
        }
        fs::create_dir_all(&part)?;
        match &self.origin {
            Origin::Debian(package) => install::unpack_debian(package, &part)?,
            Origin::Go(build) => build.run(&part.join(self.file))?,
        }
        fs::rename(&part, whole)?;
        Ok(())
    }
}

/// The third word of `prometheus, version 2.42.0+ds (branch: …`.
fn version(told: &str) -> Option<&str> {
    let mut words = told.split_whitespace();
    words.find(|word| *word == "version")?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_its_line() {
        let told = "prometheus, version 2.42.0+ds (branch: debian/sid, revision: 1)\n";
        assert_eq!(version(told), Some("2.42.0+ds"));
        assert_eq!(version(""), None);
    }

    #[test]
    fn a_named_program_has_to_be_there() {
        let program = &PROGRAMS[0];
        let here = env::current_exe().unwrap();
        let path = program.path(Some(here.clone().into())).unwrap();
        assert_eq!(path, here);
        let error = program.path(Some("/no/such".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CODEDANCE_PROMETHEUS2 is `/no/such`; it has to be the absolute path of a program"
        );
    }
}
