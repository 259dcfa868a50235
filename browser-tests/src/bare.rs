//! Bare machines, played as far as HTTP goes: what iPXE and the booted client ask of a distribution point.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::point::{Point, TOKEN};

/// Where iPXE asks of a point that is [planned](crate::Plan::booting) to boot machines.
pub(crate) const BOOT_PORT: u16 = 21_997;

/// A machine of which only its card and its firmware are there.
#[derive(Debug)]
pub struct Bare {
    client: reqwest::Client,
    mac: String,
    build: &'static str,
    /// What it was told to boot.
    script: String,
}

impl Bare {
    /// The machine with this number, with a BIOS or (`x86_64`, `i386`, `arm64`) a UEFI.
    pub fn new(number: u8, build: &'static str) -> Self {
        let mac = format!("52:54:00:00:00:{number:02x}");
        Self { client: reqwest::Client::new(), mac, build, script: String::new() }
    }

    /// Its card.
    pub fn mac(&self) -> &str {
        &self.mac
    }

    /// Asks for its script.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn ask(&mut self) -> Result<()> {
        let firmware = if self.build == "pcbios" { "pcbios" } else { "efi" };
        let of = format!("mac={}&uuid=&firmware={firmware}&build={}&wide=1", self.mac, self.build);
        self.script = self.get(&format!("/pxe/v1/scripts/machine?{of}")).await?;
        Ok(())
    }

    /// Loads what its script names.
    ///
    /// # Errors
    /// If it names nothing, or that is not there.
    pub async fn load(&self) -> Result<()> {
        for name in ["kernel --name vmlinuz ", "initrd --name initramfs0 "] {
            let path = self.value(name)?.replace("${netX/mac:hexhyp}", &self.mac.replace(':', "-"));
            let (_, path) = path.split_once("/pxe/v1").context("no path of ours")?;
            self.get(&format!("/pxe/v1{path}")).await?;
        }
        Ok(())
    }

    /// Says hello as the client that it booted into.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn hello(&self, point: &Point, host: &str) -> Result<()> {
        let token = self.value("mcast.token=")?;
        let hello = json!({ "boot": host, "host": host, "macs": [self.mac] });
        let url = format!("{}pxe/v1/hello", point.url());
        self.client.post(url).bearer_auth(token).json(&hello).send().await?.error_for_status()?;
        Ok(())
    }

    /// What stands behind `name` in its script.
    fn value(&self, name: &str) -> Result<&str> {
        let (_, rest) = self.script.split_once(name).with_context(|| format!("no {name} in {}", self.script))?;
        rest.split([' ', '\n']).next().context("nothing")
    }

    async fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{BOOT_PORT}{path}");
        let body = self.client.get(url).send().await?.error_for_status()?.bytes().await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

impl Point {
    /// Puts a kernel and an initramfs of so many bytes on it, as far as they look like such.
    ///
    /// # Errors
    /// If it refuses them.
    pub async fn put_boot_image(&self, name: &str, bytes: usize) -> Result<()> {
        // Documentation/arch/x86/boot.rst
        let mut kernel = vec![0; 4096];
        for (at, part) in [(0x1fe, &[0x55, 0xaa][..]), (0x202, b"HdrS"), (0x206, &[0x0f, 2]), (0x236, &[1, 0])] {
            kernel[at..at + part.len()].copy_from_slice(part);
        }
        let initramfs = [&[0x1f, 0x8b][..], &vec![0; bytes]].concat();
        let mut body = Vec::new();
        for (file, content) in [("vmlinuz", kernel), ("initramfs.img", initramfs)] {
            let head = format!("--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\n\r\n");
            body.extend([head.as_bytes(), &content, b"\r\n"].concat());
        }
        body.extend(b"--X--\r\n");
        let url = format!("{}api/v1/pxe/images/{name}", self.url());
        let request = reqwest::Client::new().put(url).bearer_auth(TOKEN).body(body);
        let answer = request.header("Content-Type", "multipart/form-data; boundary=X").send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status} {}", answer.text().await?);
        Ok(())
    }
}
