//! What PXE, HTTP boot and iPXE put into options.
//!
//! Option 43 of `PXEClient` (PXE 2.1 §2.2.3, table 2-1) is a list of sub-options in the form of options:
//!
//! | number | value                                                                                   |
//! |-------:|-----------------------------------------------------------------------------------------|
//! |      6 | discovery control, one byte of bits: 1 no broadcast, 2 no multicast, 4 only listed servers, 8 load the boot file at once |
//! |      8 | boot servers: type (2), count (1), addresses (4 each), repeated                         |
//! |      9 | menu: type (2), length (1), text, repeated                                              |
//! |     10 | prompt: seconds (1; 0 at once, 255 for ever), text                                      |
//! |     71 | the chosen item: type (2), layer (2)                                                    |
//!
//! Option 175 of iPXE is a list in the same form; 176 is `no-pxedhcp`.

use std::net::Ipv4Addr;

use super::Options;
use crate::machine::Uuid;

/// Vendor class of firmware that loads by TFTP.
pub const PXE_CLIENT: &[u8] = b"PXEClient";
/// Vendor class of firmware that loads from URLs (UEFI 2.10 §24.7.3).
pub const HTTP_CLIENT: &[u8] = b"HTTPClient";

/// Discovery control: load the boot file that this answer names, ask nobody else.
pub const LOAD_AT_ONCE: u8 = 8;
/// Discovery control: ask the listed servers only.
pub const LISTED_SERVERS: u8 = 7;
/// Type of the menu's item that boots from the disk (PXE 2.1 §2.2.3: type 0 leads out of PXE).
pub const DISK_ITEM: u16 = 0;
/// Type of the menu's item that is served here: the first of those that are free for vendors.
pub const OUR_ITEM: u16 = 0x8000;

const DISCOVERY_CONTROL: u8 = 6;
const BOOT_SERVERS: u8 = 8;
const MENU: u8 = 9;
const PROMPT: u8 = 10;
const ITEM: u8 = 71;
const NO_PXEDHCP: u8 = 176;

/// A menu that the firmware itself shows before it loads anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// What stands above it, with a count of seconds.
    pub prompt: String,
    /// Seconds until the first item is taken; 0: at once, 255: never.
    pub seconds: u8,
    /// The item that boots from here.
    pub boot: String,
    /// The item that boots from the disk, if there is one.
    pub disk: Option<String>,
    /// The disk is the first item, which is taken when time is over.
    pub disk_first: bool,
}

/// Option 43 for a machine that loads the boot file at once.
#[must_use]
pub fn load_at_once() -> Vec<u8> {
    suboptions(&[(DISCOVERY_CONTROL, vec![LOAD_AT_ONCE])])
}

/// Option 43 that makes the firmware show `menu` and ask `server` for what was chosen.
#[must_use]
pub fn menu(menu: &Menu, server: Ipv4Addr) -> Vec<u8> {
    let mut servers = OUR_ITEM.to_be_bytes().to_vec();
    servers.push(1);
    servers.extend(server.octets());
    let mut items = Vec::new();
    let mut item = |kind: u16, text: &str| {
        let text = clipped(text, MAX_TEXT);
        items.extend(kind.to_be_bytes());
        items.push(text.len() as u8);
        items.extend(text);
    };
    match &menu.disk {
        Some(disk) if menu.disk_first => {
            item(DISK_ITEM, disk);
            item(OUR_ITEM, &menu.boot);
        }
        Some(disk) => {
            item(OUR_ITEM, &menu.boot);
            item(DISK_ITEM, disk);
        }
        None => item(OUR_ITEM, &menu.boot),
    }
    let mut prompt = vec![menu.seconds];
    prompt.extend(clipped(&menu.prompt, MAX_TEXT));
    suboptions(&[(DISCOVERY_CONTROL, vec![LISTED_SERVERS]), (BOOT_SERVERS, servers), (MENU, items), (PROMPT, prompt)])
}

/// Longest text of a menu, so that all of it fits into one option.
const MAX_TEXT: usize = 60;

/// Option 43 of the answer to a machine that chose an item, which is repeated.
#[must_use]
pub fn chosen(item: [u8; 4]) -> Vec<u8> {
    suboptions(&[(DISCOVERY_CONTROL, vec![LOAD_AT_ONCE]), (ITEM, item.to_vec())])
}

/// The item that a machine chose: type and layer.
#[must_use]
pub fn item(vendor: &[u8]) -> Option<[u8; 4]> {
    let mut options = Options::default();
    // A list that is cut off names nothing reliably.
    options.read(vendor, "option 43").ok()?;
    options.get(ITEM)?.try_into().ok()
}

/// Option 175 that spares iPXE its wait for a proxy's offer.
#[must_use]
pub fn no_proxy_dhcp() -> Vec<u8> {
    // Without an End: iPXE's own encoding has none.
    vec![NO_PXEDHCP, 1, 1]
}

/// The architectures of option 93, in order of preference; a byte left over is none.
pub fn architectures(value: &[u8]) -> impl Iterator<Item = u16> {
    value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The architecture in a vendor class like `PXEClient:Arch:00007:UNDI:003016` (PXE 2.1 §2.2.3, option 60).
#[must_use]
pub fn architecture_in_class(class: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(class).ok()?;
    let digits = text.split_once(":Arch:")?.1.split(':').next()?;
    digits.parse().ok()
}

/// Whether a user class is iPXE's: as bare text, as iPXE sends it, or counted as RFC 3004 wants it.
#[must_use]
pub fn is_ipxe(user_class: &[u8]) -> bool {
    const NAME: &[u8] = b"iPXE";
    if user_class.strip_suffix(b"\0").unwrap_or(user_class) == NAME {
        return true;
    }
    let mut rest = user_class;
    while let Some((&len, behind)) = rest.split_first() {
        let Some((class, behind)) = behind.split_at_checked(usize::from(len)) else { return false };
        if class == NAME {
            return true;
        }
        rest = behind;
    }
    false
}

/// The board in option 97, if it means something: one byte of type, 0, and the UUID.
#[must_use]
pub fn uuid(value: &[u8]) -> Option<Uuid> {
    let (0, bytes) = value.split_first().map(|(kind, bytes)| (*kind, bytes))? else { return None };
    let uuid = Uuid::from_smbios(bytes.try_into().ok()?);
    uuid.is_meaningful().then_some(uuid)
}

fn suboptions(list: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut options = Options::default();
    for (code, value) in list {
        options.push(*code, value);
    }
    let mut out = Vec::new();
    options.write(&mut out, usize::MAX);
    out
}

/// At most `most` bytes of a text, whole characters.
fn clipped(text: &str, most: usize) -> &[u8] {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text.as_bytes()[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipxe_is_known_by_bare_text_and_by_counted_classes() {
        assert!(is_ipxe(b"iPXE"));
        assert!(is_ipxe(b"\x04iPXE"));
        assert!(is_ipxe(b"\x03lab\x04iPXE"));
        for other in [&b""[..], b"iPXE2", b"\x05iPXE", b"\x04gPXE", b"\x03iPXE"] {
            assert!(!is_ipxe(other), "{other:?}");
        }
    }

    #[test]
    fn the_architecture_of_a_class_is_read() {
        assert_eq!(architecture_in_class(b"PXEClient:Arch:00007:UNDI:003016"), Some(7));
        assert_eq!(architecture_in_class(b"PXEClient:Arch:00000"), Some(0));
        for class in [&b"PXEClient"[..], b"PXEClient:Arch:", b"PXEClient:Arch:99999999:", b"\xff:Arch:1"] {
            assert_eq!(architecture_in_class(class), None);
        }
    }

    #[test]
    fn several_architectures_are_all_read_and_half_a_one_is_not() {
        assert_eq!(architectures(&[0, 7, 0, 16, 0]).collect::<Vec<_>>(), [7, 16]);
    }

    #[test]
    fn a_menu_is_what_the_specification_says() {
        let list =
            Menu { prompt: "Go".into(), seconds: 5, boot: "Net".into(), disk: Some("Disk".into()), disk_first: false };
        let bytes = menu(&list, Ipv4Addr::new(10, 0, 0, 1));
        let mut expected = vec![6, 1, 7, 8, 7, 0x80, 0, 1, 10, 0, 0, 1, 9, 13, 0x80, 0, 3];
        expected.extend(b"Net\0\0\x04Disk\x0a\x03\x05Go\xff");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn the_longest_menu_fits_into_one_option() {
        let long = "ä".repeat(200);
        let list = Menu { prompt: long.clone(), seconds: 5, boot: long.clone(), disk: Some(long), disk_first: true };
        assert!(menu(&list, Ipv4Addr::LOCALHOST).len() <= 255);
    }

    #[test]
    fn the_chosen_item_is_read_and_repeated() {
        assert_eq!(item(&[71, 4, 0x80, 0, 0, 0, 255]), Some([0x80, 0, 0, 0]));
        assert_eq!(item(&[71, 4, 0x80, 0]), None);
        assert_eq!(item(&chosen([0x80, 0, 0, 1])), Some([0x80, 0, 0, 1]));
    }

    #[test]
    fn a_board_without_a_name_of_its_own_has_none() {
        let mut value = [0u8; 17];
        assert_eq!(uuid(&value), None);
        value[5] = 9;
        assert!(uuid(&value).is_some());
        value[0] = 1;
        assert_eq!(uuid(&value), None);
        assert_eq!(uuid(&value[..9]), None);
    }
}
