//! What differs between platforms.

use std::process::Command;

/// What a machine is called that has no name.
pub(crate) const UNNAMED: &str = "unnamed";

/// The machine's name, for people to read.
pub(crate) fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| UNNAMED.to_owned())
}

/// The MAC addresses of its network cards.
pub(crate) fn cards() -> Vec<String> {
    let cards = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let addresses = cards.filter_map(|card| std::fs::read_to_string(card.path().join("address")).ok());
    // That of the loopback interface is zero.
    addresses.map(|text| text.trim().to_owned()).filter(|text| text.contains(|c| !matches!(c, '0' | ':'))).collect()
}

/// What tells this start of the machine from all others.
pub(crate) fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Has the system's shell carry out `line`.
pub(crate) fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line);
    command
}
