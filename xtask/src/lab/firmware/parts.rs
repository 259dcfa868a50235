//! What boots: Debian's kernel and a busybox that prints the marker, made once and kept for later runs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::MARKER;
use crate::lab::tools::{self, run, tool};

/// Raised when the parts are made in another way.
const CACHE: &str = "/var/cache/mcast-lab/boot-2";
/// Where Debian has the network boot programs.
pub(crate) const LOADERS: &str = "/usr/lib/ipxe";

/// Files to boot.
pub(crate) struct Parts {
    /// A kernel for 64 bits.
    pub(crate) kernel: PathBuf,
    /// An initramfs that prints the marker and switches off.
    pub(crate) initramfs: PathBuf,
    /// Where the kernel's package is unpacked.
    pub(crate) root: PathBuf,
}

impl Parts {
    /// Makes what is not there yet.
    pub(crate) fn ready() -> Result<Self> {
        let cache = Path::new(CACHE);
        std::fs::create_dir_all(cache).with_context(|| format!("cannot make {CACHE}"))?;
        let (root, initramfs) = (cache.join("root"), cache.join("marker.img"));
        if !root.is_dir() {
            unpack_kernel(cache, &root).context("cannot get a kernel to boot")?;
        }
        if !initramfs.is_file() {
            make_marker(cache, &initramfs).context("cannot make the initramfs with the marker")?;
        }
        let boot = root.join("boot").read_dir().with_context(|| format!("cannot read {}", root.display()))?;
        let kernel = boot
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")));
        let kernel = kernel.with_context(|| format!("there is no kernel in {}", root.display()))?;
        Ok(Self { kernel, initramfs, root })
    }
}

/// Fetches the newest kernel's package and unpacks it, without installing it.
fn unpack_kernel(cache: &Path, root: &Path) -> Result<()> {
    let newest = || -> Result<String> {
        let depends = run("apt-cache", ["depends", "linux-image-amd64"])?;
        let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        Ok(format!("linux-image-{}", name.context("linux-image-amd64 depends on no kernel")?.trim()))
    };
    let folder = tempfile::tempdir_in(cache)?;
    let fetch = |package: &str| tools::finish(tool("apt-get").args(["download", package]).current_dir(&folder));
    let fetched = newest().and_then(|package| fetch(&package));
    if fetched.is_err() {
        run("apt-get", ["update"])?;
        fetch(&newest()?)?;
    }
    let package = folder
        .path()
        .read_dir()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"));
    let unpacked = folder.path().join("root");
    run("dpkg-deb", ["-x".as_ref(), package.context("apt-get fetched no package")?.as_os_str(), unpacked.as_os_str()])?;
    std::fs::rename(&unpacked, root).with_context(|| format!("cannot make {}", root.display()))
}

fn make_marker(cache: &Path, initramfs: &Path) -> Result<()> {
    let busybox = tools::find("busybox").context("busybox is not installed")?;
    let tree = tempfile::tempdir_in(cache)?;
    for folder in ["bin", "proc", "dev"] {
        std::fs::create_dir(tree.path().join(folder))?;
    }
    std::fs::copy(&busybox, tree.path().join("bin/busybox"))?;
    let init = tree.path().join("init");
    std::fs::write(
        &init,
        format!(
            "#!/bin/busybox sh\n\
             /bin/busybox mount -t proc proc /proc\n\
             echo \"{MARKER} $(/bin/busybox cat /proc/cmdline)\"\n\
             /bin/busybox poweroff -f\n"
        ),
    )?;
    std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755))?;
    let made = cache.join("marker.new");
    let line = format!(
        "cd {} && find . | cpio --quiet -o -H newc --owner=0:0 | gzip -9 > {}",
        tree.path().display(),
        made.display()
    );
    run("sh", ["-c", &line])?;
    if made.metadata()?.len() < 100_000 {
        bail!("busybox is missing in it");
    }
    std::fs::rename(&made, initramfs)?;
    Ok(())
}
