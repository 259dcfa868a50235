//! What the API, the web page and `ctl` show of the PXE service point, and what they want of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The service point at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PxeView {
    /// Whether this server boots machines (`pxe.enabled`); what follows holds for the whole site in any case.
    pub(crate) enabled: bool,
    /// `proxy`, `full` or `off`, if it does.
    pub(crate) mode: Option<String>,
    /// The networks that it answers, if it does.
    pub(crate) interfaces: Vec<PxeInterfaceView>,
    /// Machines are answered at all, says the site.
    pub(crate) respond: bool,
    /// This server answers them, if it boots machines: it has a word of its own (`pxe.respond`).
    pub(crate) respond_here: Option<bool>,
    /// Machines that the site does not know are answered, too, says the site.
    pub(crate) unknown: bool,
    /// This server answers those, if it boots machines (`pxe.unknown`).
    pub(crate) unknown_here: Option<bool>,
    /// A password is asked for before anything boots.
    pub(crate) password: bool,
    /// Computers that the site knows.
    pub(crate) computers: usize,
    /// What they are to boot.
    pub(crate) deployments: usize,
    /// Boot images of this server.
    pub(crate) images: usize,
    /// Addresses that were given.
    pub(crate) leases: usize,
    /// Machines that are booting from this server now.
    pub(crate) booting: usize,
}

/// A network that machines are answered on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PxeInterfaceView {
    /// Its name.
    pub(crate) name: String,
    /// The addresses that this server has there.
    pub(crate) addresses: Vec<String>,
}

/// What is to change for all machines; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyWish {
    /// Answer machines at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) respond: Option<bool>,
    /// Answer machines that the site does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<bool>,
    /// What to ask for before anything boots: 6 to 63 characters that an American keyboard has; null asks for
    /// nothing any more.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Option<String>>,
}

/// Tells null from nothing.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A machine that the site knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComputerView {
    /// Unique in the site.
    pub(crate) name: String,
    /// Its cards, for example `52:54:00:12:34:56`.
    #[serde(default)]
    pub(crate) macs: Vec<String>,
    /// Its board's SMBIOS UUID.
    #[serde(default)]
    pub(crate) uuid: Option<String>,
    /// The address that it gets, where this server is the DHCP server (`pxe.mode = "full"`).
    #[serde(default)]
    pub(crate) address: Option<String>,
}

/// What some machines are to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeploymentWish {
    /// Unique in the site.
    pub(crate) name: String,
    /// `computer:NAME`, `known`, `unknown` or `all`.
    pub(crate) target: String,
    /// The boot image.
    pub(crate) boot_image: String,
    /// The image that the booted client is to receive.
    #[serde(default)]
    pub(crate) image: Option<String>,
    /// Boots only if a key is pressed within so many seconds; without it always.
    #[serde(default)]
    pub(crate) available_seconds: Option<u32>,
    /// Only until it has booted once on a machine.
    #[serde(default)]
    pub(crate) once: bool,
    /// Not after this moment, milliseconds since 1970.
    #[serde(default)]
    pub(crate) until_ms: Option<i64>,
}

/// What some machines boot, and who has done so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeploymentView {
    /// Unique in the site.
    pub(crate) name: String,
    /// `computer:NAME`, `known`, `unknown` or `all`.
    pub(crate) target: String,
    /// The boot image.
    pub(crate) boot_image: String,
    /// The image that the booted client receives.
    pub(crate) image: Option<String>,
    /// Boots only if a key is pressed within so many seconds; without it always.
    pub(crate) available_seconds: Option<u32>,
    /// Only until it has booted once on a machine.
    pub(crate) once: bool,
    /// Not after this moment, milliseconds since 1970.
    pub(crate) until_ms: Option<i64>,
    /// That moment has passed.
    pub(crate) over: bool,
    /// Of one that is for once: on whom it is done: names of computers, MAC addresses of machines that are not known.
    pub(crate) done: Vec<String>,
}

/// What became of a computer that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ForgottenView {
    /// Always `done`.
    pub(crate) status: String,
    /// Deployments that were for it alone, and have gone with it.
    pub(crate) deployments: Vec<String>,
}

/// Where in the order of deployments: of two that fit a machine equally well the first one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoveWish {
    /// In front of this one; without it behind all others.
    #[serde(default)]
    pub(crate) before: Option<String>,
}

/// For whom a deployment counts as not done again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgainWish {
    /// A computer's name, or a MAC address; without it for everybody.
    #[serde(default)]
    pub(crate) computer: Option<String>,
}

/// For how many it counts as not done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AgainView {
    /// So many.
    pub(crate) machines: u64,
}

/// A boot image of this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BootImageView {
    /// By which deployments name it.
    pub(crate) name: String,
    /// What it has for which machines.
    pub(crate) programs: Vec<BootProgramView>,
    /// Size of all its files.
    pub(crate) bytes: u64,
}

/// What a boot image has for one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BootProgramView {
    /// `bios`, `uefi-ia32`, `uefi-x64`, `uefi-arm32` or `uefi-arm64`.
    pub(crate) platform: String,
    /// `kernel`, `wim`, `efi` or `script`.
    pub(crate) kind: String,
    /// It needs a processor of 64 bits.
    pub(crate) needs_64_bit: bool,
    /// Its files.
    pub(crate) files: Vec<String>,
    /// The kernel's command line, to which what the client needs is added.
    pub(crate) arguments: String,
}

/// An address that a machine has from this site's own DHCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BootLeaseView {
    /// The address.
    pub(crate) address: String,
    /// The network that it is of.
    pub(crate) network: String,
    /// The card.
    pub(crate) mac: String,
    /// The computer, if the site knows it.
    pub(crate) computer: Option<String>,
    /// The server that gave it.
    pub(crate) server: String,
    /// Until when, milliseconds since 1970.
    pub(crate) until_ms: i64,
}

/// A machine that is booting, or was answered lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BootingView {
    /// The card.
    pub(crate) mac: String,
    /// The board, if its firmware says so.
    pub(crate) uuid: Option<String>,
    /// The computer, if the site knows it.
    pub(crate) computer: Option<String>,
    /// `bios`, `uefi-ia32`, `uefi-x64`, `uefi-arm32` or `uefi-arm64`, if it says so.
    pub(crate) platform: Option<String>,
    /// Its address, once it has one.
    pub(crate) address: Option<String>,
    /// `dhcp`, `loader`, `script`, `kernel`, `client` or `disk`.
    pub(crate) stage: String,
    /// The deployment that was chosen.
    pub(crate) deployment: Option<String>,
    /// What it was answered, or why it was not.
    pub(crate) text: String,
    /// It was refused something.
    pub(crate) refused: bool,
    /// When this boot began, milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// When it was heard last, milliseconds since 1970.
    pub(crate) ms: i64,
}

/// What a machine asked for, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BootView {
    /// Higher is later; for `before`.
    pub(crate) id: i64,
    /// Milliseconds since 1970.
    pub(crate) ms: i64,
    /// The server that was asked.
    pub(crate) server: String,
    /// The card.
    pub(crate) mac: String,
    /// The board, if its firmware says so.
    pub(crate) uuid: Option<String>,
    /// The computer, if the site knew it.
    pub(crate) computer: Option<String>,
    /// `bios`, `uefi-ia32`, `uefi-x64`, `uefi-arm32` or `uefi-arm64`, if it says so.
    pub(crate) platform: Option<String>,
    /// Its address, once it had one.
    pub(crate) address: Option<String>,
    /// `dhcp`, `loader`, `script`, `kernel`, `client` or `disk`.
    pub(crate) stage: String,
    /// The deployment that was chosen.
    pub(crate) deployment: Option<String>,
    /// What it was answered, or why it was not.
    pub(crate) text: String,
    /// It was refused something.
    pub(crate) refused: bool,
}

/// What is missing before anyone boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BootCheckView {
    /// Nothing is missing.
    pub(crate) ready: bool,
    /// What is, and what is odd.
    pub(crate) findings: Vec<BootFindingView>,
}

/// Something that is missing, or odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BootFindingView {
    /// `missing`: some machine will not boot as is wanted. `odd`: perhaps that is meant.
    pub(crate) kind: String,
    /// What it is.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_null_is_not_one_that_is_left_out() {
        let read = |text| serde_json::from_str::<PolicyWish>(text).unwrap().password;
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"password": null}"#), Some(None));
        assert_eq!(read(r#"{"password": "x"}"#), Some(Some("x".to_owned())));
        let none = PolicyWish { password: Some(None), ..PolicyWish::default() };
        assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"password":null}"#);
    }
}
