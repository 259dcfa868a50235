//! Every key of `[pxe]`, once, as in [`schema`](crate::config::schema).

use std::net::Ipv4Addr;
use std::time::Duration;

use pxe::tftp::LARGEST_WINDOW;

use super::Network;
use crate::config::forms::host_port;
use crate::config::input::{Data, Setting};
use crate::config::kind::{Key, Kind, Preset, Reload, key};
use crate::config::settings::Settings;

use Kind::{Form, Number, Path, Switch, Text, Time, Word};
use Preset::{None as Nothing, Required, Value};

const ZERO: Duration = Duration::ZERO;
const MONTH: Duration = Duration::from_secs(28 * 86_400);
/// Longer than any firmware asks on end.
const LONGEST_DELAY: Duration = Duration::from_secs(600);
/// 255 is for ever (PXE 2.1 §2.2.3, option 43.10).
const LONGEST_MENU: Duration = Duration::from_secs(254);
/// Bytes of a line of the menu, so that all of it fits into one option.
const MENU_TEXT: usize = 60;
/// Bytes of a domain, so that it leaves room for the boot file.
const DOMAIN: usize = 64;

/// A key whose value is a list that may be empty.
macro_rules! list_key {
    ($path:literal, $item:ty, $kind:expr, $unset:literal, $help:literal, |$s:ident| $place:expr) => {
        Key {
            path: $path,
            kind: $kind,
            preset: Nothing($unset),
            reload: Reload::Restart,
            help: $help,
            read: |$s, input, kind| {
                $place = Option::<Vec<$item>>::read(input, kind)?.unwrap_or_default();
                Ok(())
            },
            show: |$s| if $place.is_empty() { None } else { $place.show() },
            copy: |to, from| {
                let $s = from;
                let value = $place.clone();
                let $s = to;
                $place = value;
            },
        }
    };
}

/// Keys of `[pxe]` and its sections.
pub(in crate::config) static SETTINGS: &[Key<Settings>] = &[
    key!("pxe.enabled", Switch, Value("false"), Restart, "whether machines boot from this server", |s| s.pxe.enabled),
    key!("pxe.mode", Word, Value("proxy"), Restart, "who gives addresses", |s| s.pxe.mode),
    list_key!(
        "pxe.interfaces",
        String,
        Form("the name of an interface, or a list of these"),
        "none",
        "interfaces to answer at, by name; no others",
        |s| s.pxe.interfaces
    ),
    key!(
        "pxe.address",
        Form("an IPv4 address of this server"),
        Nothing("the one of the interface that a machine is heard at"),
        Restart,
        "address of this server that machines are told",
        |s| s.pxe.address
    ),
    key!("pxe.respond", Switch, Value("true"), Now, "whether this server answers, if the site does", |s| s.pxe.respond),
    key!(
        "pxe.unknown",
        Word,
        Value("site"),
        Now,
        "whether machines that the site does not know are answered here",
        |s| s.pxe.unknown
    ),
    key!(
        "pxe.delay",
        Time(ZERO, LONGEST_DELAY),
        Value("0s"),
        Restart,
        "time for which a machine must have asked before it is answered",
        |s| s.pxe.delay
    ),
    key!("pxe.images", Path, Nothing("boot-images in the state folder"), Restart, "folder of boot images", |s| s
        .pxe
        .images),
    key!("pxe.loaders", Path, Nothing("/usr/lib/ipxe"), Restart, "folder of network boot programs", |s| s.pxe.loaders),
    key!("pxe.http", Number(1, 65_535), Value("62997"), Restart, "TCP port for firmware, without TLS", |s| s.pxe.http),
    Key {
        path: "pxe.client_server",
        kind: Form("a host or an address, and a control port behind a colon"),
        preset: Nothing("this one"),
        reload: Reload::Restart,
        help: "server that booted clients ask for their image",
        read: |s, input, _| {
            let none = matches!(input.data, Data::Word(text) if text.is_empty());
            let usual = multicast_core::engine::DEFAULT_CONTROL_PORT;
            s.pxe.client_server = if none { None } else { Some(host_port(input, usual)?) };
            Ok(())
        },
        show: |s| s.pxe.client_server.show(),
        copy: |to, from| to.pxe.client_server.clone_from(&from.pxe.client_server),
    },
    key!(
        "pxe.menu.prompt",
        Text(MENU_TEXT),
        Nothing("no menu"),
        Restart,
        "line above the menu that the firmware shows",
        |s| s.pxe.menu.prompt
    ),
    key!("pxe.menu.wait", Time(ZERO, LONGEST_MENU), Value("5s"), Restart, "time until the first item is taken", |s| s
        .pxe
        .menu
        .wait),
    key!("pxe.menu.boot", Text(MENU_TEXT), Value("Boot from the network"), Restart, "item that boots from here", |s| s
        .pxe
        .menu
        .boot),
    key!("pxe.menu.disk", Text(MENU_TEXT), Nothing("no such item"), Restart, "item that boots from the disk", |s| s
        .pxe
        .menu
        .disk),
    key!("pxe.menu.first", Word, Value("boot"), Restart, "item that is taken when time is over", |s| s.pxe.menu.first),
    key!(
        "pxe.tftp.block_limit",
        Number(512, 65_464),
        Nothing("what one packet on the way holds"),
        Restart,
        "bytes of a block at most",
        |s| s.pxe.tftp.block_limit
    ),
    key!(
        "pxe.tftp.window_limit",
        Number(1, LARGEST_WINDOW as u32),
        Value("64"),
        Restart,
        "blocks of a window at most",
        |s| s.pxe.tftp.window_limit
    ),
    key!("pxe.tftp.transfers", Number(1, 100_000), Value("400"), Restart, "transfers at a time", |s| s
        .pxe
        .tftp
        .transfers),
    key!("pxe.tftp.per_client", Number(1, 100_000), Value("64"), Restart, "transfers of one client at a time", |s| s
        .pxe
        .tftp
        .per_client),
    key!(
        "pxe.tftp.ports",
        Form("two ports, the lower one first, for example \"62000-62099\""),
        Nothing("any"),
        Restart,
        "UDP ports that files are sent from",
        |s| s.pxe.tftp.ports
    ),
    key!("pxe.dhcp.others", Switch, Value("true"), Restart, "whether machines that do not boot get addresses", |s| s
        .pxe
        .dhcp
        .others),
    key!(
        "pxe.dhcp.authoritative",
        Switch,
        Value("false"),
        Restart,
        "whether no other server gives addresses in these networks",
        |s| s.pxe.dhcp.authoritative
    ),
];

/// Keys of a `[[pxe.network]]`.
pub(in crate::config) static NETWORK: &[Key<Network>] = &[
    key!("network", Form("a network, for example \"10.0.0.0/24\""), Required, Restart, "the machines' network", |s| s
        .network),
    key!(
        "pool",
        Form("the first and the last address to give, for example \"10.0.0.50-10.0.0.199\""),
        Required,
        Restart,
        "addresses to give",
        |s| s.pool
    ),
    key!("router", Form("an address in the network"), Nothing("none"), Restart, "router that machines are told", |s| s
        .router),
    list_key!("dns", Ipv4Addr, Form("an IPv4 address, or a list of these"), "none", "name servers", |s| s.dns),
    key!("domain", Text(DOMAIN), Nothing("none"), Restart, "domain that machines are told", |s| s.domain),
    key!(
        "lease",
        Time(pxe::dhcp::SHORTEST_LEASE, MONTH),
        Value("1h"),
        Restart,
        "time for which an address is given",
        |s| s.lease
    ),
];
