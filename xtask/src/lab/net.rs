//! A network on one machine, from which no packet leaves it:
//!
//! ```text
//! sender ns [eth0] ── s [switch ns: bridge with IGMP snooping and a querier] r0 ── [eth0] receiver ns 0
//!                                                                            r1 ── [eth0] receiver ns 1 …
//! ```
//!
//! Loss is nftables' random drop where a packet arrives, a rate is tc's token bucket, a cut is
//! the switch's port set down. Dropped, the network is gone, with whatever still ran in it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::tools::{self, run, tool};

/// The sender's address; hosts share 10.77.0.0/16.
pub(crate) const SENDER: &str = "10.77.0.1";
/// Receivers that fit below the last octet's end.
const MOST_RECEIVERS: usize = 200;
/// Sides of the dice that decide about a packet.
const DICE: f64 = 100_000.0;
/// How all our namespaces' names begin; our process id, `x` and the network's number follow.
pub(crate) const PREFIX: &str = "mcl";

/// The network.
pub(crate) struct Network {
    /// What its namespaces' names begin with: no two networks share it.
    tag: String,
    receivers: usize,
}

/// Frames at the sender's interface since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Bytes sent, Ethernet headers included.
    pub(crate) sent_bytes: u64,
    /// Packets received.
    pub(crate) received_packets: u64,
}

impl Network {
    /// A switch, a sender and `receivers` receivers, without loss or limits.
    ///
    /// `number` tells the networks of this process apart.
    pub(crate) fn new(number: u32, receivers: usize) -> Result<Self> {
        if receivers > MOST_RECEIVERS {
            bail!("{receivers} receivers wanted, the network's addresses end at {MOST_RECEIVERS}");
        }
        // From here on dropping it cleans up, however far the making came.
        let network = Self { tag: format!("{PREFIX}{}x{number}", std::process::id()), receivers };
        network.make().context("cannot make the network of namespaces")?;
        Ok(network)
    }

    fn make(&self) -> Result<()> {
        let switch = self.switch();
        run("ip", ["netns", "add", &switch])?;
        // Without a querier a snooping switch forgets its members. It floods until one response interval
        // has passed since it became the querier, and hosts that hear the reports of others then keep their
        // own to themselves: so the interval comes first, and is short (times count in hundredths).
        let bridge = "link add br0 type bridge mcast_snooping 1 \
                      mcast_query_response_interval 10 mcast_startup_query_interval 100";
        self.ip(&switch, bridge)?;
        self.ip(&switch, "link set br0 type bridge mcast_querier 1")?;
        self.ip(&switch, "link set br0 up")?;
        self.add_host(&self.sender(), "s", SENDER)?;
        (0..self.receivers).try_for_each(|i| self.add_host(&self.receiver(i), &port(i), &self.receiver_address(i)))
    }

    fn add_host(&self, host: &str, port: &str, address: &str) -> Result<()> {
        let switch = self.switch();
        run("ip", ["netns", "add", host])?;
        self.ip(&switch, &format!("link add {port} type veth peer name eth0 netns {host}"))?;
        self.ip(&switch, &format!("link set {port} master br0 up"))?;
        self.ip(host, "link set lo up")?;
        self.ip(host, "link set eth0 up")?;
        self.ip(host, &format!("addr add {address}/16 dev eth0"))?;
        // As a default route would do on a real machine.
        self.ip(host, "route add 224.0.0.0/4 dev eth0")
    }

    /// The address of receiver `i`.
    pub(crate) fn receiver_address(&self, i: usize) -> String {
        format!("10.77.0.{}", i + 11)
    }

    /// A call of a program in the sender's namespace.
    pub(crate) fn in_sender(&self, program: &Path) -> Command {
        in_namespace(&self.sender(), program)
    }

    /// A call of a program in the namespace of receiver `i`.
    pub(crate) fn in_receiver(&self, i: usize, program: &Path) -> Command {
        in_namespace(&self.receiver(i), program)
    }

    /// A call of a program in the switch's namespace, where a machine's tap is.
    pub(crate) fn in_switch(&self, program: &Path) -> Command {
        in_namespace(&self.switch(), program)
    }

    /// Lets all links of the sender, the switch and the receivers carry packets of `mtu` bytes.
    pub(crate) fn set_mtu(&self, mtu: u32) -> Result<()> {
        let switch = self.switch();
        let ports = ["s".to_owned()].into_iter().chain((0..self.receivers).map(port));
        for port in ports {
            self.ip(&switch, &format!("link set {port} mtu {mtu}"))?;
        }
        self.ip(&switch, &format!("link set br0 mtu {mtu}"))?;
        let hosts = std::iter::once(self.sender()).chain((0..self.receivers).map(|i| self.receiver(i)));
        for host in hosts {
            self.ip(&host, &format!("link set eth0 mtu {mtu}"))?;
        }
        Ok(())
    }

    /// A port of the switch for a virtual machine, or of the one behind the router.
    pub(crate) fn add_tap(&self, name: &str, behind_router: bool) -> Result<()> {
        let (switch, bridge) = (self.switch(), if behind_router { "br1" } else { "br0" });
        // One of this name may be left from a machine that was switched off.
        let _ = run("ip", ["-n", &switch, "link", "del", name]);
        self.ip(&switch, &format!("tuntap add dev {name} mode tap"))?;
        self.ip(&switch, &format!("link set {name} master {bridge} up"))
    }

    /// A second switch, and receiver `i` as the router between both: it has `address` in the other network, of 16
    /// bits, and is the sender's way there.
    pub(crate) fn route_through(&self, i: usize, network: &str, address: &str) -> Result<()> {
        let (switch, router) = (self.switch(), self.receiver(i));
        self.ip(&switch, "link add br1 type bridge")?;
        self.ip(&switch, "link set br1 up")?;
        self.ip(&switch, &format!("link add far type veth peer name eth1 netns {router}"))?;
        self.ip(&switch, "link set far master br1 up")?;
        self.ip(&router, "link set eth1 up")?;
        self.ip(&router, &format!("addr add {address}/16 dev eth1"))?;
        self.ip(&self.sender(), &format!("route add {network} via {}", self.receiver_address(i)))?;
        let sysctl = tools::find("sysctl").context("sysctl is not installed")?;
        tools::finish(in_namespace(&router, &sysctl).args(["-q", "-w", "net.ipv4.ip_forward=1"])).map(drop)
    }

    /// Gives receiver `i` a further address, with its prefix.
    pub(crate) fn address_receiver(&self, i: usize, address: &str) -> Result<()> {
        self.ip(&self.receiver(i), &format!("addr add {address} dev eth0 nodad"))
    }

    /// Drops `share` (0 to 1) of the datagrams and TCP segments that cross the switch, each way by its own dice.
    pub(crate) fn lose_at_switch(&self, share: f64) -> Result<()> {
        self.cut_super_packets()?;
        let below = (share * DICE).round() as u32;
        let rules = format!(
            "add table bridge lab; add chain bridge lab crossing {{ type filter hook forward priority -300; }}; \
             add rule bridge lab crossing ether type ip ip protocol {{ tcp, udp }} numgen random mod {DICE} < {below} counter drop\n"
        );
        filter(&self.switch(), &rules).with_context(|| format!("cannot lose {share} of what crosses the switch"))
    }

    /// Lets the sender's link carry at most `rate` (in tc's words: `200mbit`).
    pub(crate) fn cap_sender(&self, rate: &str) -> Result<()> {
        self.cut_super_packets()?;
        limit_rate(&self.sender(), "eth0", rate, "64k")
    }

    /// Lets the switch's port to receiver `i` carry at most `rate`: a slow client.
    pub(crate) fn cap_receiver(&self, i: usize, rate: &str) -> Result<()> {
        self.cut_super_packets()?;
        limit_rate(&self.switch(), &port(i), rate, "32k")
    }

    /// Drops `share` (0 to 1) of the datagrams and TCP segments that arrive at receiver `i`, each by its own dice.
    pub(crate) fn lose_at_receiver(&self, i: usize, share: f64) -> Result<()> {
        self.cut_super_packets()?;
        drop_arriving(&self.receiver(i), share)
    }

    /// Drops `share` (0 to 1) of the datagrams that arrive at the sender.
    pub(crate) fn lose_feedback(&self, share: f64) -> Result<()> {
        drop_arriving(&self.sender(), share)
    }

    /// Drops all that is sent to a group at receiver `i`: another VLAN, or a switch without a querier.
    pub(crate) fn deafen(&self, i: usize) -> Result<()> {
        let rules = "add table ip deaf; add chain ip deaf arriving { type filter hook input priority -300; }; \
                     add rule ip deaf arriving iifname \"eth0\" ip daddr 224.0.0.0/4 drop\n";
        filter(&self.receiver(i), rules)
    }

    /// Lets the switch ask nobody any more what groups it wants.
    pub(crate) fn stop_querier(&self) -> Result<()> {
        self.ip(&self.switch(), "link set br0 type bridge mcast_querier 0")
    }

    /// Lets the switch's port to receiver `i` carry packets of at most `mtu` bytes, and be silent about others.
    pub(crate) fn narrow(&self, i: usize, mtu: u32) -> Result<()> {
        self.ip(&self.switch(), &format!("link set {} mtu {mtu}", port(i)))
    }

    /// Drops what comes for this UDP port of the sender.
    pub(crate) fn block_at_sender(&self, port: u16) -> Result<()> {
        let rules = format!(
            "add table ip shut; add chain ip shut arriving {{ type filter hook input priority -300; }}; \
             add rule ip shut arriving iifname \"eth0\" udp dport {port} drop\n"
        );
        filter(&self.sender(), &rules)
    }

    /// Connects or cuts the link of receiver `i`.
    pub(crate) fn set_link(&self, i: usize, up: bool) -> Result<()> {
        self.ip(&self.switch(), &format!("link set {} {}", port(i), if up { "up" } else { "down" }))
    }

    /// Gives the sender a second interface, `eth1`, on the same switch.
    pub(crate) fn add_second_interface(&self, address: &str) -> Result<()> {
        let (switch, sender) = (self.switch(), self.sender());
        self.ip(&switch, &format!("link add s1 type veth peer name eth1 netns {sender}"))?;
        self.ip(&switch, "link set s1 master br0 up")?;
        self.ip(&sender, "link set eth1 up")?;
        self.ip(&sender, &format!("addr add {address}/16 dev eth1"))
    }

    /// What went through the sender's interface so far.
    pub(crate) fn counters(&self) -> Result<Counters> {
        parse_counters(&run("ip", ["-n", &self.sender(), "-s", "-j", "link", "show", "eth0"])?)
    }

    /// A super-packet (GSO) crosses veth whole, and would count as one and be lost as one:
    /// where loss or a rate is in play the sender's interface cuts it, as a real one does.
    pub(crate) fn cut_super_packets(&self) -> Result<()> {
        let ethtool = tools::find("ethtool").context("ethtool is not installed")?;
        let arguments = ["-K", "eth0", "gso", "off", "tx-udp-segmentation", "off", "tso", "off"];
        tools::finish(in_namespace(&self.sender(), &ethtool).args(arguments)).map(drop)
    }

    fn ip(&self, namespace: &str, words: &str) -> Result<()> {
        run("ip", ["-n", namespace].into_iter().chain(words.split_whitespace())).map(drop)
    }

    fn switch(&self) -> String {
        format!("{}-w", self.tag)
    }

    fn sender(&self) -> String {
        format!("{}-s", self.tag)
    }

    fn receiver(&self, i: usize) -> String {
        format!("{}-r{i}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let receivers = (0..self.receivers).map(|i| self.receiver(i));
        for namespace in receivers.chain([self.sender(), self.switch()]) {
            // It may not have been made.
            let _ = run("ip", ["netns", "del", &namespace]);
        }
    }
}

fn port(i: usize) -> String {
    format!("r{i}")
}

fn in_namespace(namespace: &str, program: &Path) -> Command {
    let mut command = tool("ip");
    // `ip` replaces itself with the program: its process id is the program's.
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

fn limit_rate(namespace: &str, interface: &str, rate: &str, burst: &str) -> Result<()> {
    let words = ["-n", namespace, "qdisc", "replace", "dev", interface, "root", "tbf", "rate", rate];
    run("tc", words.into_iter().chain(["burst", burst, "latency", "30ms"])).map(drop)
}

fn drop_arriving(namespace: &str, share: f64) -> Result<()> {
    let below = (share * DICE).round() as u32;
    // Adding before deleting makes the deletion right whether or not the table was there.
    let rules = format!(
        "add table ip lab; delete table ip lab; add table ip lab; \
         add chain ip lab arriving {{ type filter hook input priority -300; }}; \
         add rule ip lab arriving iifname \"eth0\" meta l4proto {{ tcp, udp }} numgen random mod {DICE} < {below} counter drop\n"
    );
    filter(namespace, &rules).with_context(|| format!("cannot lose {share} of what arrives"))
}

/// Gives rules to nftables.
fn filter(namespace: &str, rules: &str) -> Result<()> {
    let nft = tools::find("nft").context("nft is not installed")?;
    let mut command = in_namespace(namespace, &nft);
    let mut child =
        command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run nft")?;
    child.stdin.take().context("nft has no input")?.write_all(rules.as_bytes()).context("cannot write to nft")?;
    let output = child.wait_with_output().context("cannot wait for nft")?;
    if !output.status.success() {
        bail!("nft refused its rules: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn parse_counters(json: &str) -> Result<Counters> {
    let links: Value = serde_json::from_str(json).context("ip's counters are no JSON")?;
    let stats = &links[0]["stats64"];
    let number = |value: &Value| value.as_u64().context("ip told no counters");
    Ok(Counters { sent_bytes: number(&stats["tx"]["bytes"])?, received_packets: number(&stats["rx"]["packets"])? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_the_json_of_ip() {
        let json = r#"[{"ifname":"eth0","stats64":{"rx":{"bytes":1,"packets":2},"tx":{"bytes":3,"packets":4}}}]"#;
        assert_eq!(parse_counters(json).unwrap(), Counters { sent_bytes: 3, received_packets: 2 });
        assert!(parse_counters("[]").is_err());
    }
}
