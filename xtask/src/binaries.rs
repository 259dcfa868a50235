//! The two programs under test, and the helpers that measure beside them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Where `mcast-server` and `mcast-client` are.
pub(crate) struct Binaries {
    /// Path of `mcast-server`.
    pub(crate) server: PathBuf,
    /// Path of `mcast-client`.
    pub(crate) client: PathBuf,
}

impl Binaries {
    /// Those of the folder given, else freshly built ones.
    pub(crate) fn find_or_build(release_dir: Option<&Path>) -> Result<Self> {
        match release_dir {
            Some(folder) => Self::find(folder),
            None => Self::build(),
        }
    }

    fn find(folder: &Path) -> Result<Self> {
        // Absolute, as namespaces and children may run in another folder.
        let folder = folder.canonicalize().with_context(|| format!("cannot open folder {}", folder.display()))?;
        let found = Self { server: folder.join("mcast-server"), client: folder.join("mcast-client") };
        for path in [&found.server, &found.client] {
            if !path.is_file() {
                bail!("{} does not exist: build it, or leave --release-dir away", path.display());
            }
        }
        Ok(found)
    }

    fn build() -> Result<Self> {
        let messages = cargo_build(&["--package", "mcast-server", "--package", "mcast-client"])?;
        Ok(Self { server: built(&messages, "mcast-server")?, client: built(&messages, "mcast-client")? })
    }
}

/// The path of a helper, a binary of the package `benches`: in the folder given, else freshly built.
pub(crate) fn helper(release_dir: Option<&Path>, name: &str) -> Result<PathBuf> {
    match release_dir {
        Some(folder) => beside(folder, Path::new(name)),
        None => built(&cargo_build(&["--package", "benches", "--bin", name])?, name),
    }
}

/// The path of an example of a package: in the folder given, else freshly built.
pub(crate) fn example(release_dir: Option<&Path>, package: &str, name: &str) -> Result<PathBuf> {
    match release_dir {
        Some(folder) => beside(folder, &Path::new("examples").join(name)),
        None => built(&cargo_build(&["--package", package, "--example", name])?, name),
    }
}

fn beside(folder: &Path, name: &Path) -> Result<PathBuf> {
    let path = folder.canonicalize().with_context(|| format!("cannot open folder {}", folder.display()))?.join(name);
    if !path.is_file() {
        bail!("{} does not exist: cargo build --release --workspace --bins --examples makes it", path.display());
    }
    Ok(path)
}

/// Builds by cargo; its messages.
fn cargo_build(what: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = Command::new(cargo)
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .args(what)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !build.status.success() {
        bail!("cargo build ended with {}", build.status);
    }
    Ok(String::from_utf8_lossy(&build.stdout).into_owned())
}

/// The path of binary `name` in cargo's messages: right with any target folder and target.
fn built(messages: &str, name: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo build made no program {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_taken_from_its_own_message() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"multicast-core"},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"mcast-server"},"executable":"/t/release/mcast-server"}"#,
        );
        assert_eq!(built(messages, "mcast-server").unwrap(), PathBuf::from("/t/release/mcast-server"));
        assert!(built(messages, "mcast-client").is_err());
    }
}
