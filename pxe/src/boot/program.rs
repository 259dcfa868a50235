//! Boot images: what the programs of a site's machines are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Platform;

/// A boot image: for each platform what boots there.
#[derive(Clone, Debug, PartialEq)]
pub struct BootImage {
    /// Unique on a server.
    pub name: String,
    /// By platform.
    pub programs: BTreeMap<Platform, Program>,
}

/// What boots on a platform; its files are named within the boot image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Program {
    /// A Linux kernel.
    Kernel {
        /// The kernel.
        kernel: String,
        /// What it unpacks, in this order.
        #[serde(default)]
        initramfs: Vec<String>,
        /// Its command line, to which what the client needs is added.
        #[serde(default)]
        arguments: String,
        /// It runs on processors with 64 bits only.
        needs_64_bit: bool,
    },
    /// A Windows image, by wimboot.
    Wim {
        /// The loader, of <https://ipxe.org/wimboot>.
        wimboot: String,
        /// `BCD`, `boot.sdi`, the WIM, and whatever else: what wimboot is to call it, and the file.
        files: Vec<(String, String)>,
        /// It runs on processors with 64 bits only.
        needs_64_bit: bool,
    },
    /// An EFI program.
    Efi {
        /// The program.
        file: String,
    },
    /// A script for iPXE.
    Script {
        /// The script.
        file: String,
    },
}

impl Program {
    /// Whether a processor without long mode cannot run it. Firmware of 64 bits has one.
    #[must_use]
    pub fn needs_64_bit(&self) -> bool {
        match self {
            Self::Kernel { needs_64_bit, .. } | Self::Wim { needs_64_bit, .. } => *needs_64_bit,
            Self::Efi { .. } | Self::Script { .. } => false,
        }
    }

    /// Whether it is told its server and its token: only a kernel has a command line to tell them by.
    #[must_use]
    pub fn is_introduced(&self) -> bool {
        matches!(self, Self::Kernel { .. })
    }

    /// Every file that it needs.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let (first, more): (&String, Vec<&String>) = match self {
            Self::Kernel { kernel, initramfs, .. } => (kernel, initramfs.iter().collect()),
            Self::Wim { wimboot, files, .. } => (wimboot, files.iter().map(|(_, file)| file).collect()),
            Self::Efi { file } | Self::Script { file } => (file, Vec::new()),
        };
        std::iter::once(first).chain(more).map(String::as_str)
    }

    /// In a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "kernel",
            Self::Wim { .. } => "wim",
            Self::Efi { .. } => "efi",
            Self::Script { .. } => "script",
        }
    }
}

impl BootImage {
    /// The platforms that it is for, for people.
    #[must_use]
    pub fn platforms(&self) -> String {
        let names: Vec<_> = self.programs.keys().map(|platform| platform.name()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
