//! dnsmasq, as the other DHCP server, and as the PXE server that ours is measured beside.

use std::path::Path;
use std::process::Command;

use super::bench::Mode;
use crate::lab::dnsmasq;
use crate::lab::net::SENDER;
use crate::lab::point::PXE_PORT;

/// Where the files for HTTP boot are served in that case.
pub(super) const HTTP_PORT: u16 = 8080;
/// What machines get.
const RANGE: &str = "10.77.1.10,10.77.1.250,255.255.0.0,1h";

/// Arguments of a DHCP server that knows nothing of booting.
pub(super) fn plain(command: &mut Command, folder: &Path) {
    common(command, folder, "plain");
    command.arg(format!("--dhcp-range={RANGE}"));
}

/// Arguments of a DHCP server that names our boot files itself, as docs/booting.md says.
pub(super) fn pointing(command: &mut Command, folder: &Path) {
    plain(command, folder);
    let ours = format!("http://{SENDER}:{PXE_PORT}/pxe/v1");
    command.args(["--dhcp-userclass=set:ipxe,iPXE", "--dhcp-match=set:x64,option:client-arch,7"]);
    command.args(["--dhcp-match=set:x64,option:client-arch,9", "--dhcp-match=set:http,option:client-arch,16"]);
    command.args(["--dhcp-option-force=tag:http,tag:!ipxe,60,HTTPClient"]);
    command.arg(format!("--dhcp-boot=tag:ipxe,{ours}/scripts/start"));
    command.arg(format!("--dhcp-boot=tag:!ipxe,tag:http,{ours}/files/loader/uefi-x64.efi"));
    command.arg(format!("--dhcp-boot=tag:!ipxe,tag:x64,loader/uefi-x64.efi,,{SENDER}"));
    command.arg(format!("--dhcp-boot=tag:!ipxe,tag:!x64,tag:!http,loader/bios.pxe,,{SENDER}"));
}

/// Arguments of a router that advertises IPv6: iPXE waits 13 s for one.
pub(super) fn router(command: &mut Command, folder: &Path) {
    common(command, folder, "router");
    command.args(["--enable-ra", "--dhcp-range=fd77::,ra-only"]);
}

/// Arguments of a whole PXE server whose files are in `files`.
pub(super) fn server(command: &mut Command, folder: &Path, files: &Path, mode: Mode) {
    common(command, folder, "server");
    command.arg("--enable-tftp").arg(format!("--tftp-root={}", files.display()));
    command.args(["--dhcp-userclass=set:ipxe,iPXE", "--dhcp-match=set:efi,option:client-arch,7"]);
    command.args(["--dhcp-match=set:efi,option:client-arch,9", "--dhcp-match=set:http,option:client-arch,16"]);
    match mode {
        Mode::Full => {
            let http = format!("--dhcp-boot=tag:http,tag:!ipxe,http://{SENDER}:{HTTP_PORT}/snponly.efi");
            command.arg(format!("--dhcp-range={RANGE}")).arg(http);
            command.args(["--dhcp-option-force=tag:http,tag:!ipxe,60,HTTPClient"]);
            command.args(["--dhcp-boot=tag:efi,tag:!ipxe,snponly.efi"]);
            command.args(["--dhcp-boot=tag:!efi,tag:!http,tag:!ipxe,undionly.kpxe", "--dhcp-boot=tag:ipxe,boot.ipxe"]);
            // iPXE then does not wait for a proxy.
            command.arg("--dhcp-option=tag:ipxe,encap:175,176,1b");
        }
        // Without DHCP there is nothing to serve but files.
        Mode::Off => {}
        Mode::Proxy => {
            command.arg(format!("--dhcp-range={SENDER},proxy,255.255.0.0"));
            command.args([
                "--pxe-service=tag:ipxe,x86PC,boot,boot.ipxe",
                "--pxe-service=tag:!ipxe,x86PC,boot,undionly.kpxe",
            ]);
            for kind in ["X86-64_EFI", "BC_EFI"] {
                command.arg(format!("--pxe-service=tag:ipxe,{kind},boot,boot.ipxe"));
                command.arg(format!("--pxe-service=tag:!ipxe,{kind},boot,snponly.efi"));
            }
        }
    }
}

fn common(command: &mut Command, folder: &Path, name: &str) {
    dnsmasq::idle(command, folder, name);
    command.args(["--log-dhcp", "--dhcp-authoritative"]);
}

/// The script by which iPXE loads the kernel, from where it got the script or from `from`.
pub(super) fn script(from: &str) -> String {
    format!("#!ipxe\nkernel {from}vmlinuz console=ttyS0 quiet initrd=marker.img\ninitrd {from}marker.img\nboot\n")
}
