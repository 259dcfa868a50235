//! Real WIMs, written by wimlib, and what wimlib says of the copies.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Need, Scenario};
use crate::files;
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{Room, Setup};
use crate::lab::tools::{self, run, tool};
use crate::process::{self, Running};

pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "wim-uncompressed",
        claim: "an uncompressed WIM with an integrity table arrives, verifies and applies",
        needs: &NEEDS,
        run: |lab, findings| whole(lab, findings, &["--compress=none", "--check"]),
    },
    Scenario {
        name: "wim-lzx",
        claim: "an LZX WIM with an integrity table arrives, verifies and applies",
        needs: &NEEDS,
        run: |lab, findings| whole(lab, findings, &["--compress=LZX", "--check"]),
    },
    Scenario {
        name: "wim-solid",
        claim: "a solid (ESD) WIM without an integrity table arrives, verifies and applies",
        needs: &NEEDS,
        run: |lab, findings| whole(lab, findings, &["--solid"]),
    },
    Scenario {
        name: "wim-pipable",
        claim: "a pipable WIM arrives, verifies and applies",
        needs: &NEEDS,
        run: |lab, findings| whole(lab, findings, &["--pipable"]),
    },
    Scenario {
        name: "wim-piped",
        claim: "a pipable WIM goes from the client's standard output straight into wimlib's apply",
        needs: &NEEDS,
        run: piped,
    },
    Scenario {
        name: "wim-split",
        claim: "the parts of a split WIM are one delivery into a folder, and verify and apply there",
        needs: &NEEDS,
        run: split,
    },
];

const NEEDS: [Need; 3] = [Need::Program("wimlib-imagex"), Need::Program("diff"), Need::Space(1 << 30)];
const CLIENTS: usize = 2;

fn setup() -> Setup {
    Setup::open(CLIENTS, 500_000_000)
}

fn whole(lab: &Lab, findings: &mut Findings, options: &[&str]) -> Result<()> {
    let folder = lab.new_image_folder()?;
    let tree = make_tree(folder.path())?;
    let wim = capture(&tree, folder.path(), options)?;
    let mut room = Room::with_images(lab, &setup(), vec![wim])?;
    room.start(0..CLIENTS)?;
    room.finish()?;
    for i in 0..CLIENTS {
        let copy = room.output(i);
        imagex("verify", &[&copy])?;
        check_applied(&tree, &room.folder().join(format!("applied-{i}")), &[&copy])?;
    }
    add_figures(&mut room, findings)
}

fn piped(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let folder = lab.new_image_folder()?;
    let tree = make_tree(folder.path())?;
    let wim = capture(&tree, folder.path(), &["--pipable"])?;
    let mut room = Room::with_images(lab, &Setup { clients: 1, min_clients: 1, ..setup() }, vec![wim])?;
    let applied = room.folder().join("applied");
    let mut client = room.client_command_to(0, Path::new("-"));
    let mut apply = tool("wimlib-imagex");
    apply.args(["apply", "-", "1"]).arg(&applied);
    let (mut client, mut apply) = Running::start_into("client-piped", &mut client, &mut apply, room.folder())?;
    room.start_server()?;
    process::wait_for_success(
        [&mut client, &mut apply],
        setup().image_time() * 4 + std::time::Duration::from_secs(30),
    )?;
    room.wait_for_server()?;
    check_same_tree(&tree, &applied)?;
    findings.figure("wire/image", room.wire_ratio()?, "");
    Ok(())
}

fn split(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let folder = lab.new_image_folder()?;
    let tree = make_tree(folder.path())?;
    let wim = capture(&tree, folder.path(), &["--compress=LZX", "--check"])?;
    let parts = folder.path().join("parts");
    fs::create_dir(&parts)?;
    run("wimlib-imagex", [Path::new("split"), &wim, &parts.join("tree.swm"), Path::new("8"), Path::new("--check")])?;
    let mut images: Vec<PathBuf> =
        fs::read_dir(&parts)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>().context("cannot list the parts")?;
    images.sort();
    if images.len() < 2 {
        bail!("wimlib-imagex split made {} part(s), the scenario needs several", images.len());
    }
    findings.figure("parts", images.len() as f64, "");
    let mut room = Room::with_images(lab, &setup(), images)?;
    room.start(0..CLIENTS)?;
    room.finish()?;
    for i in 0..CLIENTS {
        let first = room.output(i).join("tree.swm");
        let others = format!("--ref={}", room.output(i).join("tree*.swm").display());
        imagex("verify", &[&first, Path::new(&others)])?;
        check_applied(&tree, &room.folder().join(format!("applied-{i}")), &[&first, Path::new(&others)])?;
    }
    add_figures(&mut room, findings)
}

fn add_figures(room: &mut Room<'_>, findings: &mut Findings) -> Result<()> {
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    findings.figure("wire/image", room.wire_ratio()?, "");
    Ok(())
}

/// A tree with what a WIM treats apart: much and little, alike and empty files, links, folders.
fn make_tree(folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("tree");
    let make = || -> Result<()> {
        fs::create_dir_all(tree.join("Windows/System32/empty folder"))?;
        for (i, mib) in [1u64, 5, 12].into_iter().enumerate() {
            files::write_random(&tree.join(format!("Windows/random-{mib}.bin")), mib << 20, i as u64)?;
        }
        for i in 0..200 {
            let text = format!("line of file {i}\r\n").repeat(1 + i * 20);
            fs::write(tree.join(format!("Windows/System32/text {i:03} äöü.txt")), text)?;
        }
        fs::copy(tree.join("Windows/random-5.bin"), tree.join("the same again.bin"))?;
        fs::hard_link(tree.join("Windows/random-1.bin"), tree.join("hard link.bin"))?;
        symlink("Windows/random-1.bin", tree.join("link"))?;
        fs::write(tree.join("empty"), "")?;
        Ok(())
    };
    make().with_context(|| format!("cannot make the tree {}", tree.display()))?;
    Ok(tree)
}

fn capture(tree: &Path, folder: &Path, options: &[&str]) -> Result<PathBuf> {
    let wim = folder.join("tree.wim");
    let mut command = tool("wimlib-imagex");
    tools::finish(command.arg("capture").arg(tree).arg(&wim).arg("tree").args(options))?;
    Ok(wim)
}

fn imagex(what: &str, arguments: &[&Path]) -> Result<()> {
    run("wimlib-imagex", std::iter::once(Path::new(what)).chain(arguments.iter().copied())).map(drop)
}

/// Applies the only image of a WIM, and compares it with the tree it was made from.
fn check_applied(tree: &Path, target: &Path, wim: &[&Path]) -> Result<()> {
    let (file, options) = wim.split_first().context("no WIM")?;
    let mut command = tool("wimlib-imagex");
    tools::finish(command.arg("apply").arg(file).arg("1").arg(target).args(options))?;
    check_same_tree(tree, target)
}

fn check_same_tree(tree: &Path, copy: &Path) -> Result<()> {
    run("diff", [Path::new("--recursive"), Path::new("--no-dereference"), tree, copy]).map(drop)
}
