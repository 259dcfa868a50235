//! iPXE's scripts: one that asks on behalf of a machine, and one for each answer.
//!
//! A script says on the screen what happens and why.

use std::fmt::{Display, Write};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::plan::Plan;
use super::program::Program;
use super::site::Occasion;
use crate::machine::Platform;

/// For so long what went wrong can be read before the machine goes on to its disk, in seconds.
const READING: u32 = 20;

/// Where a script's machine finds this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Of the HTTP side, without a slash at its end: `http://10.0.0.1:62997/pxe/v1`.
    pub url: String,
}

/// What a booted client is told of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Host and control port of the server that has the images.
    pub server: String,
    /// The site's fingerprint, if it speaks TLS.
    pub trust: Option<String>,
    /// The machine's own.
    pub token: String,
}

impl Base {
    /// At this host and port.
    #[must_use]
    pub fn at(host: impl Display) -> Self {
        Self { url: format!("http://{host}/pxe/v1") }
    }

    /// The script with which iPXE begins: it says what the machine is and asks for its own.
    ///
    /// iPXE finds out whether the processor has long mode (CPUID 8000_0001h, EDX bit 29), if it was built with that
    /// command: bit 0 of the first leaf, a floating-point unit, tells.
    #[must_use]
    pub fn start(&self) -> String {
        format!(
            "#!ipxe\n\
             set wide unknown\n\
             cpuid 0 && set wide 0 ||\n\
             cpuid --ext 29 && set wide 1 ||\n\
             chain --replace --autofree {}/scripts/machine?mac=${{netX/mac:hexhyp}}&uuid=${{uuid}}&firmware=${{platform}}\
             &build=${{buildarch}}&wide=${{wide}} || goto away\n\
             :away\n\
             echo\n\
             echo The server at {} does not answer, or iPXE cannot run what it answers.\n\
             {}",
            self.url,
            plain(&self.url),
            disk(None)
        )
    }

    /// Asks for the site's password; `before` says why it is asked again, `wanted` is the deployment that somebody
    /// pressed a key for.
    ///
    /// The password goes as HTTP's Basic authentication (RFC 7617), which every build of iPXE speaks, and not all
    /// have forms: what travels, and what a server may log, is the address without it.
    #[must_use]
    pub fn password(&self, before: Option<&str>, wanted: Option<&str>) -> String {
        let mut text = "#!ipxe\n".to_owned();
        if let Some(before) = before {
            let _ = writeln!(text, "echo\necho {}\nsleep 3", plain(before));
        }
        let here = self.url.strip_prefix("http://").unwrap_or(&self.url);
        let _ = write!(
            text,
            "set username machine\n\
             clear password ||\n\
             login || goto disk\n\
             chain --replace --autofree http://${{username:uristring}}:${{password:uristring}}@{here}/scripts/unlocked\
             ?mac=${{netX/mac:hexhyp}}&uuid=${{uuid}}&firmware=${{platform}}&build=${{buildarch}}&wide=${{wide}}\
             &wanted={} || goto disk\n\
             {}",
            percent(wanted.unwrap_or_default()),
            disk(Some("No password: "))
        );
        text
    }

    /// Boots what was planned; a program that [is introduced](Program::is_introduced) by what it is told.
    #[must_use]
    pub fn boot(&self, plan: &Plan, introduction: Option<&Introduction>) -> String {
        let mut text = format!("#!ipxe\nclear password ||\necho\necho {}\n", plain(&title(plan)));
        text.push_str(&self.load(plan, introduction));
        let _ = write!(
            text,
            ":failed\n\
             echo\n\
             echo The boot image {} could not be loaded or started. The server's log may say why.\n\
             imgfree\n\
             imgfetch --timeout 5000 {}/reports/failed?mac=${{netX/mac:hexhyp}}&image={} ||\n\
             {}",
            plain(&plan.deployment.boot_image),
            self.url,
            percent(&plan.deployment.boot_image),
            reading()
        );
        text
    }

    /// Offers what is available; a key has it booted.
    #[must_use]
    pub fn offer(&self, plan: &Plan, wait: Duration) -> String {
        format!(
            "#!ipxe\n\
             echo\n\
             echo {}\n\
             prompt --timeout {} Press a key to boot it, or wait {} s to boot from the disk || goto disk\n\
             chain --replace --autofree {}/scripts/machine?mac=${{netX/mac:hexhyp}}&uuid=${{uuid}}&firmware=${{platform}}\
             &build=${{buildarch}}&wide=${{wide}}&wanted={} || goto disk\n\
             {}",
            plain(&title(plan)),
            wait.as_millis(),
            wait.as_secs(),
            self.url,
            percent(&plan.deployment.name),
            disk(None)
        )
    }

    fn load(&self, plan: &Plan, introduction: Option<&Introduction>) -> String {
        let image = percent(&plan.deployment.boot_image);
        let url =
            |file: &str| format!("{}/files/images/{image}/{}?mac=${{netX/mac:hexhyp}}", self.url, percent_path(file));
        let mut text = String::new();
        match &plan.program {
            Program::Kernel { kernel, initramfs, arguments, .. } => {
                // An EFI stub takes its initramfs by the name on its command line; elsewhere it does no harm.
                let loads: String = (0..initramfs.len()).map(|at| format!(" initrd=initramfs{at}")).collect();
                let told = introduction.map(|introduction| introduction.arguments(plan)).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "kernel --name vmlinuz {} vmlinuz{loads} {} {told} || goto failed",
                    url(kernel),
                    one_line(arguments),
                );
                for (at, file) in initramfs.iter().enumerate() {
                    let _ = writeln!(text, "initrd --name initramfs{at} {} || goto failed", url(file));
                }
                text.push_str("boot || goto failed\n");
            }
            Program::Wim { wimboot, files, .. } => {
                let _ = writeln!(text, "kernel --name wimboot {} || goto failed", url(wimboot));
                for (name, file) in files {
                    let _ = writeln!(text, "initrd --name {0} {1} {0} || goto failed", plain(name), url(file));
                }
                text.push_str("boot || goto failed\n");
            }
            Program::Efi { file } => {
                // A program that has a name gets it as its arguments, and a unified kernel image would take them for
                // the kernel's instead of its own.
                let _ = writeln!(text, "kernel --name= {} || goto failed", url(file));
                text.push_str("boot || goto failed\nexit 1\n");
            }
            Program::Script { file } => {
                let _ = writeln!(text, "chain --replace --autofree {} || goto failed", url(file));
            }
        }
        text
    }
}

impl Introduction {
    /// As arguments of a kernel, which `mcast-client receive --booted` reads.
    fn arguments(&self, plan: &Plan) -> String {
        let mut text = format!("mcast.server={}", self.server);
        if let Some(trust) = &self.trust {
            let _ = write!(text, " mcast.trust={trust}");
        }
        let _ = write!(text, " mcast.token={}", self.token);
        if let Some(image) = &plan.deployment.image {
            let _ = write!(text, " mcast.image={}", quoted(image));
        }
        if let Some(computer) = plan.computer.as_deref().map(quoted).filter(|computer| !computer.is_empty()) {
            let _ = write!(text, " mcast.computer={computer}");
        }
        text.push_str(" BOOTIF=01-${netX/mac:hexhyp}");
        text
    }
}

/// Sends the machine to its disk at once: nothing is wrong.
#[must_use]
pub fn to_disk(why: &str) -> String {
    format!("#!ipxe\necho\necho {}.\n{}", plain(why), disk(None))
}

/// Says what is wrong so that it can be read, then sends the machine to its disk.
#[must_use]
pub fn refuse(why: &str) -> String {
    format!("#!ipxe\necho\necho This machine is not booted from the network:\necho {}.\n{}", plain(why), reading())
}

fn reading() -> String {
    format!(
        "prompt --timeout {} Press a key, or wait {READING} s, to boot from the disk ||\n{}",
        READING * 1000,
        disk(None)
    )
}

/// Boots from the disk. A BIOS may hang when a boot program ends, so that iPXE starts the first disk itself; UEFI goes
/// on to the next entry of its list when a program ends with an error.
fn disk(before: Option<&str>) -> String {
    format!(
        ":disk\n\
         echo {}Booting from the disk.\n\
         iseq ${{platform}} pcbios && sanboot --no-describe --drive 0x80 ||\n\
         exit 1\n",
        before.unwrap_or_default()
    )
}

fn title(plan: &Plan) -> String {
    let who = plan.computer.as_deref().unwrap_or("a machine that the site does not know");
    let what = plan.deployment.image.as_ref().map_or_else(String::new, |image| format!(", image {image}"));
    let how = match plan.deployment.occasion {
        Occasion::Required => "",
        Occasion::Available(_) => " (available)",
    };
    format!("Deployment {}{how} for {who}: boot image {}{what}", plan.deployment.name, plan.deployment.boot_image)
}

/// A text that iPXE prints as it stands: nothing in it expands, ends a command, or begins another one.
fn plain(text: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || " .,:;_-/()@+=%?!'".contains(c);
    // Its quotes must pair.
    let text: String = text.chars().map(|c| if keep(c) && c != '\'' { c } else { ' ' }).collect();
    text.split_whitespace().filter(|word| !word.starts_with('#') && *word != ";").collect::<Vec<_>>().join(" ")
}

/// Arguments of a kernel in one line, in which iPXE sees no end of its command, and no comment.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().filter(|word| !matches!(*word, "||" | "&&" | ";") && !word.starts_with('#'));
    text.collect::<Vec<_>>().join(" ")
}

/// Whether an image's name reaches a booted client as it is, through iPXE, which knows no quotes, and the kernel,
/// whose quotes know no escape.
#[must_use]
pub fn can_name(image: &str) -> bool {
    quoted(image).trim_matches('"') == image
}

/// A value for the kernel's command line. Its quotes are the kernel's: iPXE must leave them. What would be a word
/// of iPXE's own goes, as above.
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() && !"\"'\\$".contains(*c)).collect();
    let text = one_line(&text);
    if text.contains(' ') { format!("\"{text}\"") } else { text }
}

/// RFC 3986's unreserved characters stay.
const PERCENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn percent(text: &str) -> String {
    utf8_percent_encode(text, &PERCENT).to_string()
}

fn percent_path(text: &str) -> String {
    text.split('/').map(percent).collect::<Vec<_>>().join("/")
}

/// The platform of an iPXE that says `${platform}` and `${buildarch}` of itself.
#[must_use]
pub fn platform_of(firmware: &str, build: &str) -> Option<Platform> {
    Some(match (firmware, build) {
        ("pcbios", _) => Platform::BiosX86,
        ("efi", "i386") => Platform::UefiIa32,
        ("efi", "x86_64") => Platform::UefiX64,
        ("efi", "arm32") => Platform::UefiArm32,
        ("efi", "arm64") => Platform::UefiArm64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;

    use super::super::program::BootImage;
    use super::super::site::{Deployment, Target};
    use super::*;

    fn base() -> Base {
        Base::at("10.0.0.1:62997")
    }

    fn introduction() -> Introduction {
        Introduction { server: "10.0.0.1".to_owned(), trust: Some("ST3F-5NBW".to_owned()), token: "abc".to_owned() }
    }

    fn plan(program: Program) -> Plan {
        let image = BootImage { name: "client".to_owned(), programs: BTreeMap::from([(Platform::BiosX86, program)]) };
        Plan {
            computer: Some("pc-7".to_owned()),
            deployment: Deployment {
                name: "lab 7".to_owned(),
                target: Target::All,
                boot_image: image.name,
                image: Some("base image.wim".to_owned()),
                occasion: Occasion::Required,
                once: false,
                until: None,
            },
            program: image.programs[&Platform::BiosX86].clone(),
        }
    }

    #[test]
    fn a_kernel_gets_its_initramfs_and_knows_its_server() {
        let program = Program::Kernel {
            kernel: "vmlinuz".to_owned(),
            initramfs: vec!["initramfs.img".to_owned()],
            arguments: "quiet\n|| ; mcast.output=/dev/sda #4".to_owned(),
            needs_64_bit: true,
        };
        expect![[r#"
            #!ipxe
            clear password ||
            echo
            echo Deployment lab 7 for pc-7: boot image client, image base image.wim
            kernel --name vmlinuz http://10.0.0.1:62997/pxe/v1/files/images/client/vmlinuz?mac=${netX/mac:hexhyp} vmlinuz initrd=initramfs0 quiet mcast.output=/dev/sda mcast.server=10.0.0.1 mcast.trust=ST3F-5NBW mcast.token=abc mcast.image="base image.wim" mcast.computer=pc-7 BOOTIF=01-${netX/mac:hexhyp} || goto failed
            initrd --name initramfs0 http://10.0.0.1:62997/pxe/v1/files/images/client/initramfs.img?mac=${netX/mac:hexhyp} || goto failed
            boot || goto failed
            :failed
            echo
            echo The boot image client could not be loaded or started. The server's log may say why.
            imgfree
            imgfetch --timeout 5000 http://10.0.0.1:62997/pxe/v1/reports/failed?mac=${netX/mac:hexhyp}&image=client ||
            prompt --timeout 20000 Press a key, or wait 20 s, to boot from the disk ||
            :disk
            echo Booting from the disk.
            iseq ${platform} pcbios && sanboot --no-describe --drive 0x80 ||
            exit 1
        "#]]
        .assert_eq(&base().boot(&plan(program), Some(&introduction())));
    }

    #[test]
    fn a_wim_is_given_to_wimboot_under_the_names_that_it_knows() {
        let program = Program::Wim {
            wimboot: "wimboot".to_owned(),
            files: vec![("BCD".to_owned(), "bcd".to_owned()), ("boot.wim".to_owned(), "win pe.wim".to_owned())],
            needs_64_bit: true,
        };
        let script = base().boot(&plan(program), Some(&introduction()));
        let lines: Vec<_> =
            script.lines().skip(4).take(4).map(|line| line.replace("http://10.0.0.1:62997", "")).collect();
        assert_eq!(
            lines,
            [
                "kernel --name wimboot /pxe/v1/files/images/client/wimboot?mac=${netX/mac:hexhyp} || goto failed",
                "initrd --name BCD /pxe/v1/files/images/client/bcd?mac=${netX/mac:hexhyp} BCD || goto failed",
                "initrd --name boot.wim /pxe/v1/files/images/client/win%20pe.wim?mac=${netX/mac:hexhyp} boot.wim || goto failed",
                "boot || goto failed",
            ]
        );
    }

    #[test]
    fn what_is_available_waits_for_a_key_and_asks_again_by_its_name() {
        let script = base().offer(&plan(Program::Efi { file: "shell.efi".to_owned() }), Duration::from_secs(10));
        assert!(script.contains("prompt --timeout 10000 Press a key to boot it, or wait 10 s"), "{script}");
        assert!(script.contains("&wanted=lab%207 || goto disk"), "{script}");
        assert!(!script.contains("mcast.token"), "{script}");
    }

    #[test]
    fn the_password_is_what_ipxe_was_given_and_is_forgotten_before_anything_boots() {
        let script = base().password(Some("The password is wrong: 2 tries are left"), Some("lab 7"));
        let address = "http://${username:uristring}:${password:uristring}@10.0.0.1:62997/pxe/v1/scripts/unlocked?mac=";
        assert!(script.contains(address) && script.contains("&wanted=lab%207 ||"), "{script}");
        assert!(script.contains("\necho The password is wrong: 2 tries are left\n"), "{script}");
        let boot = base().boot(&plan(Program::Efi { file: "shell.efi".to_owned() }), None);
        assert!(boot.starts_with("#!ipxe\nclear password ||\n"), "{boot}");
    }

    #[test]
    fn no_text_can_become_a_command() {
        for text in ["${net0/mac}", "a && reboot", "a || shell", "a\nshell", "# x", "it's", "a ; b"] {
            let script = refuse(text);
            let line = script.lines().nth(3).unwrap();
            assert!(line.starts_with("echo ") && script.lines().count() == refuse("x").lines().count(), "{script}");
            assert!(!["$", "&", "|", "#", "'", "{"].iter().any(|sign| line.contains(sign)), "{line}");
        }
    }
}
