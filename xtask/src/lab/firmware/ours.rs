//! Our service point on the bench: its settings, and what an operator does with it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bench::{Bench, Mode};
use crate::files;
use crate::interrupt;
use crate::lab::point::{HTTP_PORT, LOCAL_PORT, TOKEN};
use crate::lab::tools;

/// The name of our server among those of the bench.
pub(crate) const OURS: &str = "ours";
/// What a change at one place takes to be seen at another.
const SOON: Duration = Duration::from_secs(10);

impl Bench<'_> {
    /// Starts our server: the whole one, or the service point alone; `further` are lines of `[pxe]`.
    pub(crate) fn start_ours(&mut self, mode: Mode, command: &str, further: &str) -> Result<()> {
        let folder = self.folder().to_owned();
        std::fs::create_dir_all(folder.join("images"))?;
        let config = folder.join("server.toml");
        let interface = if further.contains("interfaces = ") { "" } else { "interfaces = [\"eth0\"]\n" };
        let network = match mode {
            _ if further.contains("[[pxe.network]]") => "",
            Mode::Full => "[[pxe.network]]\nnetwork = \"10.77.0.0/16\"\npool = \"10.77.1.10-10.77.1.250\"\n",
            Mode::Proxy | Mode::Off => "",
        };
        let (name, path) = (mode.name(), folder.display());
        std::fs::write(
            &config,
            format!(
                "[site]\nname = \"lab\"\nstate = \"{path}/state\"\n\
                 [server]\nname = \"pxe1\"\ninterface = \"eth0\"\n\
                 [content]\nimages = \"{path}/images\"\nsettle = \"500ms\"\n\
                 [rate]\ncustom = \"100mbit\"\n\
                 [http]\nlisten = [\"0.0.0.0:{HTTP_PORT}\", \"127.0.0.1:{LOCAL_PORT}\"]\n\
                 [pxe]\nenabled = true\nmode = \"{name}\"\n{interface}{further}\n{network}\
                 [[token]]\nname = \"lab\"\nrole = \"operator\"\ntoken = \"{TOKEN}\"\n"
            ),
        )?;
        files::make_private(&config)?;
        let mut server = self.net().in_sender(&self.lab().binaries.server);
        server.args([command, "--config"]).arg(&config).args(["--log-format", "json"]);
        self.start(OURS, &mut server)?;
        self.wait_for_ports(OURS, mode.ports())
    }

    /// The same with the marker's boot image for every machine.
    pub(crate) fn start_ours_with_marker(&mut self, mode: Mode, further: &str) -> Result<()> {
        self.start_ours(mode, "pxe", further)?;
        self.add_marker_image("console=ttyS0 quiet")?;
        self.ctl(&["policy", "--unknown", "on"])?;
        self.ctl(&["deployments", "add", "everybody", "--all", "--boot-image", "marker"])?;
        Ok(())
    }

    /// Puts the kernel and the marker on our server.
    pub(crate) fn add_marker_image(&mut self, arguments: &str) -> Result<()> {
        let (kernel, initramfs) = (self.parts.kernel.display().to_string(), self.parts.initramfs.display().to_string());
        self.ctl(&["images", "add", "marker", &kernel, &initramfs, "--arguments", arguments]).map(drop)
    }

    /// What an operator types after `mcast-server ctl pxe`, and what it prints.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.net().in_sender(&self.lab().binaries.server);
        command.args(["ctl", "--server", &format!("http://127.0.0.1:{LOCAL_PORT}")]);
        command.env("MCAST_CTL_TOKEN", TOKEN).arg("pxe").args(arguments);
        tools::finish(&mut command)
    }

    /// What `check` finds, whose exit code says whether it found something.
    pub(crate) fn check(&self) -> Result<String> {
        let mut command = self.net().in_sender(&self.lab().binaries.server);
        command.args(["ctl", "--server", &format!("http://127.0.0.1:{LOCAL_PORT}"), "pxe", "check"]);
        let output = command.env("MCAST_CTL_TOKEN", TOKEN).output().context("cannot run mcast-server ctl")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until the log of our service point holds these words.
    pub(crate) fn wait_for_log(&self, words: &str) -> Result<()> {
        let end = Instant::now() + SOON;
        loop {
            let log = self.ctl(&["log"])?;
            if log.contains(words) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the log of the service point does not say {words:?}:\n{log}");
            }
            interrupt::sleep(Duration::from_millis(200))?;
        }
    }

    /// Makes the boot image whose machines are clients.
    pub(crate) fn make_client_image(&self) -> Result<()> {
        let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mcast-client/boot-image/make");
        let mut command = tools::tool("bash");
        command.arg(make).arg("--client").arg(&self.lab().binaries.client).arg("--root").arg(&self.parts.root);
        command.args(["--drivers", "virtio_net virtio_pci af_packet"]).arg(self.folder().join("client"));
        tools::finish(&mut command).map(drop)
    }
}
