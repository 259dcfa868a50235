//! From files to what boots on which platform.

use std::collections::BTreeMap;

use super::inspect::Kind;
use crate::boot::Program;
use crate::machine::Platform;

/// Why files are no boot image together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// Nothing was given.
    #[error("a boot image needs at least one file: a kernel, an EFI program, an iPXE script, or a WIM")]
    Empty,
    /// Two files for one place.
    #[error("{first} and {second} are both {what}: one is enough")]
    Twice {
        /// What they are.
        what: &'static str,
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A part without its whole.
    #[error("{file} is {what}, which boots nothing by itself: add {needs}")]
    Alone {
        /// The file.
        file: String,
        /// What it is.
        what: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// Parts of different wholes.
    #[error("{file} is {what}, which {with} has no use for: make it a boot image of its own")]
    Stranger {
        /// The file.
        file: String,
        /// What it is.
        what: &'static str,
        /// The one that boots.
        with: String,
    },
    /// A platform that the file does not run on.
    #[error("{file} is {what}: it does not run on {platform}, only on {runs}")]
    Platform {
        /// The file.
        file: String,
        /// What it is.
        what: &'static str,
        /// What was asked for.
        platform: Platform,
        /// Where it runs.
        runs: String,
    },
    /// Arguments without a kernel.
    #[error("arguments are for Linux kernels, and there is none among the files")]
    Arguments,
}

/// Says what boots where: on `platforms`, or wherever the files run if that names none.
///
/// # Errors
/// [`DescribeError`]
pub fn describe(
    files: &[(String, Kind)],
    platforms: &[Platform],
    arguments: &str,
) -> Result<BTreeMap<Platform, Program>, DescribeError> {
    let (file, kind, program, runs) = whole(files, arguments)?;
    if !arguments.trim().is_empty() && !matches!(program, Program::Kernel { .. }) {
        return Err(DescribeError::Arguments);
    }
    let stranger = platforms.iter().find(|platform| !runs.contains(platform));
    if let Some(platform) = stranger {
        let runs = runs.iter().map(|platform| platform.name()).collect::<Vec<_>>().join(", ");
        return Err(DescribeError::Platform { file: file.clone(), what: kind.words(), platform: *platform, runs });
    }
    let chosen = if platforms.is_empty() { &runs } else { platforms };
    Ok(chosen.iter().map(|platform| (*platform, program.clone())).collect())
}

type Whole<'a> = (&'a String, Kind, Program, Vec<Platform>);

/// The file that boots, what that makes, and where it runs.
fn whole<'a>(files: &'a [(String, Kind)], arguments: &str) -> Result<Whole<'a>, DescribeError> {
    use Kind as K;
    let mains: Vec<_> = files.iter().filter(|(_, kind)| is_main(*kind)).collect();
    let (file, kind) = match mains[..] {
        [] => return Err(alone(files)),
        [(file, kind)] => (file, *kind),
        [(first, kind), (second, _), ..] => {
            let (first, second) = (first.clone(), second.clone());
            return Err(DescribeError::Twice { what: kind.words(), first, second });
        }
    };
    let rest = || files.iter().filter(move |(name, _)| name != file);
    let (program, runs) = match kind {
        K::Kernel { .. } | K::ArmKernel(_) => {
            only(rest(), file, &[K::Initramfs])?;
            let needs_64_bit = !matches!(kind, K::Kernel { needs_64_bit: false });
            let initramfs = rest().map(|(name, _)| name.clone()).collect();
            let runs = match kind {
                K::ArmKernel(platform) => vec![platform],
                _ if needs_64_bit => vec![Platform::BiosX86, Platform::UefiX64],
                _ => vec![Platform::BiosX86, Platform::UefiIa32],
            };
            let arguments = arguments.trim().to_owned();
            (Program::Kernel { kernel: file.clone(), initramfs, arguments, needs_64_bit }, runs)
        }
        K::Wim => {
            only(rest(), file, &[K::Wimboot, K::Bcd, K::Sdi])?;
            let part = |wanted, needs| {
                let found = rest().find(|(_, kind)| *kind == wanted).map(|(name, _)| name.clone());
                found.ok_or(DescribeError::Alone { file: file.clone(), what: kind.words(), needs })
            };
            let wimboot = part(K::Wimboot, "wimboot (https://ipxe.org/wimboot)")?;
            let files = vec![
                ("BCD".to_owned(), part(K::Bcd, "the BCD of the same medium")?),
                ("boot.sdi".to_owned(), part(K::Sdi, "the boot.sdi of the same medium")?),
                ("boot.wim".to_owned(), file.clone()),
            ];
            let runs = vec![Platform::BiosX86, Platform::UefiX64, Platform::UefiIa32];
            (Program::Wim { wimboot, files, needs_64_bit: false }, runs)
        }
        K::Efi(platform) => {
            only(rest(), file, &[])?;
            (Program::Efi { file: file.clone() }, vec![platform])
        }
        _ => {
            only(rest(), file, &[])?;
            (Program::Script { file: file.clone() }, Platform::ALL.to_vec())
        }
    };
    Ok((file, kind, program, runs))
}

fn is_main(kind: Kind) -> bool {
    matches!(kind, Kind::Kernel { .. } | Kind::ArmKernel(_) | Kind::Efi(_) | Kind::Script | Kind::Wim)
}

/// None of them boots by itself.
fn alone(files: &[(String, Kind)]) -> DescribeError {
    let Some((file, kind)) = files.first() else { return DescribeError::Empty };
    let needs = if *kind == Kind::Initramfs { "its kernel" } else { "the WIM" };
    DescribeError::Alone { file: file.clone(), what: kind.words(), needs }
}

/// Only parts of these kinds stand beside `main`, all but an initramfs once.
fn only<'a>(rest: impl Iterator<Item = &'a (String, Kind)>, main: &str, kinds: &[Kind]) -> Result<(), DescribeError> {
    let mut seen: Vec<&(String, Kind)> = Vec::new();
    for part in rest {
        let (file, what) = (part.0.clone(), part.1.words());
        if !kinds.contains(&part.1) {
            return Err(DescribeError::Stranger { file, what, with: main.to_owned() });
        }
        if let Some((first, _)) = seen.iter().find(|(_, kind)| *kind == part.1 && part.1 != Kind::Initramfs) {
            return Err(DescribeError::Twice { what, first: first.clone(), second: file });
        }
        seen.push(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: Kind = Kind::Kernel { needs_64_bit: true };

    fn files(files: &[(&str, Kind)]) -> Vec<(String, Kind)> {
        files.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    }

    #[test]
    fn a_kernel_boots_where_its_width_says() {
        let made = describe(&files(&[("initrd", Kind::Initramfs), ("vmlinuz", KERNEL)]), &[], " quiet ").unwrap();
        assert_eq!(made.keys().copied().collect::<Vec<_>>(), [Platform::BiosX86, Platform::UefiX64]);
        let Program::Kernel { kernel, initramfs, arguments, needs_64_bit } = &made[&Platform::BiosX86] else {
            panic!("{made:?}")
        };
        assert_eq!((kernel.as_str(), arguments.as_str(), *needs_64_bit), ("vmlinuz", "quiet", true));
        assert_eq!(initramfs, &["initrd"]);
        let narrow = describe(&files(&[("v", Kind::Kernel { needs_64_bit: false })]), &[], "").unwrap();
        assert!(narrow.contains_key(&Platform::UefiIa32) && !narrow.contains_key(&Platform::UefiX64));
    }

    #[test]
    fn windows_needs_its_four_parts() {
        let mut parts = vec![("boot.wim", Kind::Wim), ("wimboot", Kind::Wimboot), ("bcd", Kind::Bcd)];
        let text = describe(&files(&parts), &[], "").unwrap_err().to_string();
        assert_eq!(text, "boot.wim is a WIM, which boots nothing by itself: add the boot.sdi of the same medium");
        parts.push(("boot.sdi", Kind::Sdi));
        let made = describe(&files(&parts), &[Platform::UefiX64], "").unwrap();
        let Program::Wim { files, .. } = &made[&Platform::UefiX64] else { panic!("{made:?}") };
        assert_eq!(files[0], ("BCD".to_owned(), "bcd".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |list: &[(&str, Kind)], platforms: &[Platform]| {
            describe(&files(list), platforms, "").unwrap_err().to_string()
        };
        assert!(error(&[], &[]).contains("at least one file"));
        assert!(error(&[("i", Kind::Initramfs)], &[]).contains("add its kernel"));
        assert!(error(&[("a", KERNEL), ("b", KERNEL)], &[]).contains("a and b are both a Linux kernel"));
        assert!(error(&[("a", KERNEL), ("b", Kind::Sdi)], &[]).contains("b is a boot.sdi, which a has no use for"));
        let shell = [("shell.efi", Kind::Efi(Platform::UefiX64))];
        assert_eq!(
            error(&shell, &[Platform::UefiIa32]),
            "shell.efi is an EFI program: it does not run on uefi-ia32, only on uefi-x64"
        );
        assert_eq!(describe(&files(&shell), &[], "quiet"), Err(DescribeError::Arguments));
    }
}
