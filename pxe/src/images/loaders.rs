//! Network boot programs: what firmware loads first, which is iPXE.

use std::path::{Path, PathBuf};

use crate::machine::Platform;

/// The folder of network boot programs.
#[derive(Clone, Debug)]
pub struct Loaders {
    folder: PathBuf,
}

impl Loaders {
    /// Those of a folder, such as `/usr/lib/ipxe` of Debian's package ipxe.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program for a platform.
    #[must_use]
    pub fn find(&self, platform: Platform) -> Option<PathBuf> {
        names(platform).iter().map(|name| self.folder.join(name)).find(|path| path.is_file())
    }

    /// What to say where there is none.
    #[must_use]
    pub fn missing(&self, platform: Platform) -> String {
        format!(
            "there is no network boot program for {platform} in {}, where it is called one of {}: put iPXE's there, \
             or name its folder by pxe.loaders",
            self.folder.display(),
            names(platform).join(", ")
        )
    }
}

/// By what names a program is known: an operator's own choice, then those of Debian's package and of iPXE's builds.
/// `snponly` uses the card through its firmware, as the firmware itself did, and leaves when its script ends; some
/// `ipxe.efi` hang then.
fn names(platform: Platform) -> &'static [&'static str] {
    match platform {
        Platform::BiosX86 => &["bios.pxe", "undionly.kpxe", "ipxe.pxe"],
        Platform::UefiIa32 => &[
            "uefi-ia32.efi",
            "i386-efi/snponly.efi",
            "snponly-i386.efi",
            "snponly32.efi",
            "i386-efi/ipxe.efi",
            "ipxe-i386.efi",
            "ipxe32.efi",
        ],
        Platform::UefiX64 => &[
            "uefi-x64.efi",
            "x86_64-efi/snponly.efi",
            "snponly-x86_64.efi",
            "snponly.efi",
            "ipxe-snponly-x86_64.efi",
            "x86_64-efi/ipxe.efi",
            "ipxe-x86_64.efi",
            "ipxe.efi",
        ],
        Platform::UefiArm32 => &["uefi-arm32.efi", "arm32-efi/snponly.efi", "snponly-arm32.efi", "ipxe-arm32.efi"],
        Platform::UefiArm64 => {
            &["uefi-arm64.efi", "arm64-efi/snponly.efi", "snponly-arm64.efi", "arm64-efi/ipxe.efi", "ipxe-arm64.efi"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_own_goes_first_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let loaders = Loaders::new(folder.path());
        let text = loaders.missing(Platform::BiosX86);
        assert!(loaders.find(Platform::BiosX86).is_none() && text.contains("bios.pxe, undionly.kpxe"), "{text}");
        std::fs::write(folder.path().join("undionly.kpxe"), "").unwrap();
        assert_eq!(loaders.find(Platform::BiosX86), Some(folder.path().join("undionly.kpxe")));
        std::fs::write(folder.path().join("bios.pxe"), "").unwrap();
        assert_eq!(loaders.find(Platform::BiosX86), Some(folder.path().join("bios.pxe")));
    }
}
