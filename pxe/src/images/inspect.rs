//! What a file is, by its first bytes: boot images are taken, anything else is refused in words.

use crate::machine::Platform;

/// Bytes of a file that tell what it is: a CD's mark, the last that is looked for, begins at 32 KiB.
pub const HEAD: usize = 33 << 10;

/// A file of a boot image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Linux kernel for x86.
    Kernel {
        /// It has an entry for 64 bits, and none for processors without.
        needs_64_bit: bool,
    },
    /// A Linux kernel for an ARM.
    ArmKernel(Platform),
    /// An EFI program for a platform.
    Efi(Platform),
    /// A script for iPXE.
    Script,
    /// What a kernel unpacks.
    Initramfs,
    /// A Windows image.
    Wim,
    /// The loader of Windows images.
    Wimboot,
    /// Windows' boot configuration.
    Bcd,
    /// Windows' RAM disk.
    Sdi,
}

/// A file that is none of those.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} is no part of a boot image: it looks like {looks}; taken are Linux kernels and their initramfs, EFI \
     programs, iPXE scripts (#!ipxe), and WIMs with wimboot, BCD and boot.sdi"
)]
pub struct NotABootImage {
    /// The file's name.
    pub name: String,
    /// What it may be.
    pub looks: &'static str,
}

impl Kind {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Kernel { needs_64_bit: true } => "a Linux kernel of 64 bits",
            Self::Kernel { needs_64_bit: false } => "a Linux kernel of 32 bits",
            Self::ArmKernel(_) => "a Linux kernel for ARM",
            Self::Efi(_) => "an EFI program",
            Self::Script => "an iPXE script",
            Self::Initramfs => "an initramfs",
            Self::Wim => "a WIM",
            Self::Wimboot => "wimboot",
            Self::Bcd => "a BCD",
            Self::Sdi => "a boot.sdi",
        }
    }
}

/// Tells what a file is by its name and its first [`HEAD`] bytes, or all of them if it has fewer.
///
/// # Errors
/// [`NotABootImage`]
pub fn inspect(name: &str, head: &[u8]) -> Result<Kind, NotABootImage> {
    let kernel = linux(head);
    // It is a Linux kernel and an EFI program at the same time, to be loaded by anything.
    if name.to_ascii_lowercase().contains("wimboot") && (kernel.is_some() || efi(head).is_some()) {
        return Ok(Kind::Wimboot);
    }
    let magic = || {
        Some(match head {
            [b'#', b'!', b'i', b'p', b'x', b'e', ..] => Kind::Script,
            _ if head.starts_with(b"MSWIM\0\0\0") => Kind::Wim,
            _ if head.starts_with(b"regf") => Kind::Bcd,
            _ if head.starts_with(b"$SDI0001") => Kind::Sdi,
            _ if is_initramfs(head) => Kind::Initramfs,
            _ => return None,
        })
    };
    kernel
        .or_else(|| efi(head).map(Kind::Efi))
        .or_else(magic)
        .ok_or_else(|| NotABootImage { name: name.to_owned(), looks: looks(head) })
}

/// Linux's boot protocol: "HdrS" at 202h, version at 206h, flags of the entries at 236h since version 2.12
/// (Documentation/arch/x86/boot.rst); `ARM\x64` at 56 of an arm64 Image (Documentation/arch/arm64/booting.rst);
/// 016F2818h at 24h of an ARM zImage.
fn linux(head: &[u8]) -> Option<Kind> {
    if bytes(head, 0x1fe) == Some([0x55, 0xaa]) && bytes(head, 0x202) == Some(*b"HdrS") {
        let version = u16::from_le_bytes(bytes(head, 0x206)?);
        let flags = u16::from_le_bytes(bytes(head, 0x236)?);
        return Some(Kind::Kernel { needs_64_bit: version >= 0x020c && flags & 1 != 0 });
    }
    if bytes(head, 56) == Some(*b"ARM\x64") {
        return Some(Kind::ArmKernel(Platform::UefiArm64));
    }
    (u32::from_le_bytes(bytes(head, 0x24)?) == 0x016f_2818).then_some(Kind::ArmKernel(Platform::UefiArm32))
}

/// The platform of an EFI program: PE's machine, if its subsystem is one of EFI's (10 to 13).
fn efi(head: &[u8]) -> Option<Platform> {
    if bytes(head, 0)? != *b"MZ" {
        return None;
    }
    let at = usize::try_from(u32::from_le_bytes(bytes(head, 0x3c)?)).ok()?;
    if bytes(head, at)? != *b"PE\0\0" {
        return None;
    }
    let machine = u16::from_le_bytes(bytes(head, at.checked_add(4)?)?);
    let subsystem = u16::from_le_bytes(bytes(head, at.checked_add(24 + 68)?)?);
    let platform = match machine {
        0x014c => Platform::UefiIa32,
        0x8664 => Platform::UefiX64,
        0x01c0 | 0x01c2 | 0x01c4 => Platform::UefiArm32,
        0xaa64 => Platform::UefiArm64,
        _ => return None,
    };
    (10..=13).contains(&subsystem).then_some(platform)
}

/// cpio, bare or compressed by what Linux unpacks.
fn is_initramfs(head: &[u8]) -> bool {
    const MAGICS: [&[u8]; 9] = [
        b"070701",
        b"070702",
        &[0x1f, 0x8b],
        &[0x28, 0xb5, 0x2f, 0xfd],
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        &[0x5d, 0, 0],
        &[0x02, 0x21, 0x4c, 0x18],
        b"BZh",
        &[0x89, b'L', b'Z', b'O'],
    ];
    MAGICS.iter().any(|magic| head.starts_with(magic))
}

/// What is sent by mistake.
fn looks(head: &[u8]) -> &'static str {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    match head {
        [] => "an empty file",
        _ if has(0x8001, b"CD001") => "a CD (ISO 9660): take the kernel and the initramfs, or the WIM, out of it",
        _ if has(0, b"QFI\xfb") || has(0, b"vhdxfile") || has(0, b"KDMV") => "the disk of a virtual machine",
        _ if has(0, b"\x7fELF") => "a Linux program, or a kernel that is not packed (vmlinux)",
        _ if has(0, b"PK\x03\x04") || has(0, b"7z\xbc\xaf") || has(257, b"ustar") => "an archive",
        _ if has(0, b"hsqs") => "a squashfs",
        _ if has(0, b"MZ") => "a program for DOS or Windows",
        _ if has(0x1fe, &[0x55, 0xaa]) => "a disk image",
        _ if has(0, b"#!") => "a script, but none for iPXE",
        _ => "nothing known",
    }
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(size: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; size];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        bytes
    }

    /// The first KiB of a kernel.
    pub(in crate::images) fn kernel(wide: bool) -> Vec<u8> {
        with(1024, &[(0x1fe, &[0x55, 0xaa]), (0x202, b"HdrS"), (0x206, &[0x0f, 2]), (0x236, &[u8::from(wide), 0])])
    }

    /// The first KiB of an EFI program.
    pub(in crate::images) fn program(machine: u16, subsystem: u8) -> Vec<u8> {
        let at = 0x80;
        let parts: [(usize, &[u8]); 5] = [
            (0, b"MZ"),
            (0x3c, &[at, 0, 0, 0]),
            (at.into(), b"PE\0\0"),
            (usize::from(at) + 4, &machine.to_le_bytes()),
            (usize::from(at) + 92, &[subsystem, 0]),
        ];
        with(1024, &parts)
    }

    #[test]
    fn files_are_known_by_what_they_hold() {
        let is = |name: &str, head: &[u8]| inspect(name, head).unwrap();
        assert_eq!(is("vmlinuz", &kernel(true)), Kind::Kernel { needs_64_bit: true });
        assert_eq!(is("vmlinuz", &kernel(false)), Kind::Kernel { needs_64_bit: false });
        assert_eq!(is("Image", &with(64, &[(56, b"ARM\x64")])), Kind::ArmKernel(Platform::UefiArm64));
        assert_eq!(is("shell.efi", &program(0x8664, 10)), Kind::Efi(Platform::UefiX64));
        assert_eq!(is("shell.efi", &program(0x014c, 10)), Kind::Efi(Platform::UefiIa32));
        assert_eq!(is("wimboot", &kernel(true)), Kind::Wimboot);
        assert_eq!(is("wimboot.x86_64.efi", &program(0x8664, 10)), Kind::Wimboot);
        assert_eq!(is("boot.wim", b"MSWIM\0\0\0rest"), Kind::Wim);
        assert_eq!(is("BCD", b"regf...."), Kind::Bcd);
        assert_eq!(is("boot.sdi", b"$SDI0001"), Kind::Sdi);
        assert_eq!(is("menu", b"#!ipxe\nshell\n"), Kind::Script);
        for head in [&b"070701"[..], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd]] {
            assert_eq!(is("initramfs", head), Kind::Initramfs);
        }
    }

    #[test]
    fn what_is_no_boot_image_is_told_what_it_looks_like() {
        let looks = |head: &[u8]| inspect("x", head).unwrap_err().looks;
        assert!(looks(&with(HEAD, &[(0x8001, b"CD001")])).starts_with("a CD"));
        assert_eq!(looks(&program(0x8664, 3)), "a program for DOS or Windows");
        assert_eq!(looks(&with(512, &[(0x1fe, &[0x55, 0xaa])])), "a disk image");
        assert_eq!(looks(b""), "an empty file");
        let text = inspect("setup.exe", &program(0x8664, 2)).unwrap_err().to_string();
        assert!(text.starts_with("setup.exe is no part of a boot image: it looks like a program"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(name in ".*", head in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = inspect(&name, &head);
        }
    }
}
