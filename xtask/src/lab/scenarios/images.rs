//! Images out of the ordinary: past 4 GiB, and one that changes under the server.

use anyhow::{Context, Result};

use super::{Need, Scenario};
use crate::files;
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{Room, Setup};
use crate::process;

pub(super) const SCENARIOS: [Scenario; 2] = [
    Scenario {
        name: "big-sparse",
        claim: "6 GiB with data past 4 GiB arrive right, and the server's memory without the mapping stays under 100 MiB",
        needs: &[Need::Space(7 << 30)],
        run: big_sparse,
    },
    Scenario {
        name: "image-truncated",
        claim: "an image cut short while it is served is an error that names it, and no client takes it for whole",
        needs: &[Need::Space(1 << 30)],
        run: truncated,
    },
];

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn big_sparse(lab: &Lab, findings: &mut Findings) -> Result<()> {
    // What one sender and one receiver on two cores carry without loss.
    let setup = Setup::open(1, 3_000_000_000);
    let size = 6 * GIB;
    let folder = lab.new_image_folder()?;
    let image = folder.path().join("big.img");
    let extents = [(0, 8 * MIB), (4 * GIB - 4096, 64 * MIB), (5 * GIB + 12_345, 16 * MIB), (size - MIB, MIB)];
    files::write_random_at(&image, &extents, size, 6)?;
    let mut room = Room::with_images(lab, &setup, vec![image])?;
    room.start(0..1)?;
    room.finish()?;
    let memory = room.server()?.memory();
    findings.check(memory.anonymous > 0, || "the server's memory could not be read".to_owned());
    findings.figure("wall", room.time_of(|_| true)?.as_secs_f64(), "s");
    findings.at_most("server memory without the mapping", (memory.anonymous / MIB) as f64, "MiB", 100.0);
    findings.figure("server memory with it", (memory.resident / MIB) as f64, "MiB");
    let client = room.client(0)?.memory();
    findings.figure("client memory", (client.anonymous / MIB) as f64, "MiB");
    findings.figure("wire/image", room.wire_ratio()?, "");
    room.add_figures(findings)
}

fn truncated(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { bytes: 64 * MIB, ..Setup::open(2, 100_000_000) };
    let mut room = Room::open(lab, &setup)?;
    room.start(0..2)?;
    room.wait_until_sent(0.3)?;
    let image = std::fs::File::options().write(true).open(room.image()).context("cannot open the image")?;
    image.set_len(setup.bytes / 2).context("cannot cut the image")?;

    process::wait_for([room.server()?], setup.image_time() * 4)?;
    let server = room.server()?;
    let code = server.poll()?.and_then(|ended| ended.status.code());
    let (words, complaint) = (server.stderr(), server.complaint());
    findings.check(code.is_some_and(|code| code != 0), || {
        format!("an exit code other than 0 was expected, but {complaint}")
    });
    findings.check(words.contains("image.bin"), || format!("the error does not name the image: {}", words.trim()));
    for i in 0..2 {
        room.client(i)?.kill()?;
        let success = room.client(i)?.poll()?.is_some_and(|ended| ended.status.success());
        let output = room.output(i);
        findings.check(!success, || format!("client {i} took the half image for whole"));
        findings.check(!output.exists(), || format!("{} has its final name", output.display()));
    }
    Ok(())
}
