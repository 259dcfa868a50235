//! What must fit together in `[pxe]`, and what is allowed and yet probably not meant.

use std::collections::HashSet;

use pxe::dhcp::Interface;

use super::{MenuItem, NETWORKS, Network, Pxe, PxeMode};
use crate::config::error::Problem;
use crate::config::fill::{Origins, label};
use crate::config::settings::Settings;

/// Name servers that fit into one answer beside a boot file.
const MOST_DNS: usize = 16;

/// Finds contradictions; looks at nothing but the settings.
pub(in crate::config) fn check(settings: &Settings, origins: &Origins, problems: &mut Vec<Problem>) {
    let pxe = &settings.pxe;
    let mut tell = |key: &str, text: String, help: String| {
        problems.push(Problem::new(origins.get(key).cloned(), text).with_help(help));
    };
    let mut seen = HashSet::new();
    if let Some(twice) = pxe.interfaces.iter().find(|name| !seen.insert(*name)) {
        tell("pxe.interfaces", format!("pxe.interfaces names {twice:?} twice"), "each is named once".to_owned());
    }
    if pxe.enabled && pxe.interfaces.is_empty() {
        let help = "write interfaces = [\"eth1\"] under [pxe]: machines are answered only at those listed";
        tell("pxe.enabled", "pxe.interfaces is missing".to_owned(), help.to_owned());
    }
    if pxe.enabled && pxe.mode == PxeMode::Full && pxe.networks.is_empty() {
        let help = "write [[pxe.network]] with network and pool; or mode = \"proxy\" beside another DHCP server";
        tell("pxe.mode", "pxe.mode = \"full\": there are no addresses to give".to_owned(), help.to_owned());
    }
    if pxe.menu.first == MenuItem::Disk && pxe.menu.disk.is_none() {
        let help = "write disk = \"Boot from the disk\" under [pxe.menu]";
        tell("pxe.menu.first", "pxe.menu.first = \"disk\": there is no such item".to_owned(), help.to_owned());
    }
    let http = &settings.http;
    let taken = http.listen.iter().chain(&http.metrics_listen).find(|address| address.port() == pxe.http);
    if let Some(address) = taken.filter(|_| pxe.enabled) {
        let key = if http.metrics_listen == Some(*address) { "http.metrics_listen" } else { "http.listen" };
        let text = format!("pxe.http = {}: it is the port of {key}, {address}", pxe.http);
        tell("pxe.http", text, "write another port: firmware speaks no TLS, and has a port of its own".to_owned());
    }
    networks(&pxe.networks, origins, problems);
}

/// That each network can be served, and none of them overlaps another.
fn networks(networks: &[Network], origins: &Origins, problems: &mut Vec<Problem>) {
    for (number, one) in networks.iter().enumerate() {
        let label = label(NETWORKS, number);
        // What was not given or could not be read has been said.
        let origin = |key: &str| origins.get(&format!("{label}{key}")).or_else(|| origins.get(&label)).cloned();
        let mut tell = |key: &str, text: String, help: String| {
            problems.push(Problem::new(origin(key), format!("pxe.network.{key}{text}")).with_help(help));
        };
        let &Network { network, pool, .. } = one;
        if network == Network::default().network {
            continue;
        }
        let is_read = pool != Network::default().pool;
        if is_read && !(network.is_host(pool.first) && network.is_host(pool.last)) {
            let text = format!(" = \"{pool}\": it does not lie within the network {network}");
            tell(
                "pool",
                text,
                format!("machines there have addresses between {} and {}", network.first(), network.broadcast()),
            );
        }
        if let Some(router) = one.router.filter(|router| !network.is_host(*router)) {
            let text = format!(" = \"{router}\": it is not in the network {network}");
            tell(
                "router",
                text,
                "UEFI firmware fails with PXE-E99 if it is told a router that it does not reach".to_owned(),
            );
        }
        if one.dns.len() > MOST_DNS {
            tell("dns", format!(" names {} servers", one.dns.len()), format!("at most {MOST_DNS} fit into an answer"));
        }
        let earlier = networks.iter().take(number).position(|other| other.network.overlaps(network));
        if let Some((first, other)) = earlier.and_then(|at| Some((at, networks.get(at)?))) {
            let first = origins.get(&crate::config::fill::label(NETWORKS, first));
            let help = first.map_or_else(String::new, |origin| format!("the first one stands at {origin}"));
            tell("network", format!(" = \"{network}\": it overlaps {}", other.network), help);
        }
    }
}

/// That the interfaces are there, and have addresses: looks at the system.
pub(in crate::config) fn interfaces(pxe: &Pxe, origins: &Origins, problems: &mut Vec<Problem>) {
    if !pxe.enabled || pxe.interfaces.is_empty() {
        return;
    }
    if let Err(error) = Interface::find(&pxe.interfaces) {
        problems.push(Problem::new(origins.get("pxe.interfaces").cloned(), format!("pxe.interfaces: {error}")));
    }
}

/// What is allowed and yet probably not meant.
pub(in crate::config) fn warnings(settings: &Settings, origins: &Origins, warnings: &mut Vec<String>) {
    let pxe = &settings.pxe;
    let said = |prefix: &str| origins.keys().any(|key| key.starts_with(prefix));
    if said("pxe.") && !origins.contains_key("pxe.enabled") {
        warnings.push("[pxe] has no effect without enabled = true".to_owned());
    }
    if pxe.mode != PxeMode::Full && !pxe.networks.is_empty() {
        warnings.push("[[pxe.network]] has no effect: pxe.mode is not \"full\"".to_owned());
    }
    if pxe.mode != PxeMode::Full && said("pxe.dhcp.") {
        warnings.push("[pxe.dhcp] has no effect: pxe.mode is not \"full\"".to_owned());
    }
    if said("pxe.menu.") && pxe.menu.prompt.is_none() {
        warnings.push("[pxe.menu] has no effect without prompt".to_owned());
    }
    if pxe.mode == PxeMode::Off {
        for key in ["pxe.delay", "pxe.menu.prompt"].into_iter().filter(|key| said(key)) {
            warnings.push(format!("{key} has no effect: pxe.mode is \"off\", another server answers DHCP"));
        }
    }
}
