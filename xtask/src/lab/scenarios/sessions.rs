//! Several images at once from one server.

use anyhow::Result;

use super::{Need, Scenario};
use crate::files;
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::run::{Room, Setup};

pub(super) const SCENARIOS: [Scenario; 1] = [Scenario {
    name: "sessions-4",
    claim: "4 images to 2 clients each share 190 Mbit/s of a 200 Mbit/s link: all arrive, together at that rate, none late",
    needs: &[Need::Space(1 << 30)],
    run: four,
}];

const SESSIONS: usize = 4;
const MIB: u64 = 1 << 20;
/// What the slowest may need beyond the mean, as a factor.
const UNFAIR: f64 = 1.15;

fn four(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup { clients: 2 * SESSIONS, min_clients: 2, each: true, ..Setup::standard() };
    let folder = lab.new_image_folder()?;
    let images = (0..SESSIONS).map(|i| {
        let image = folder.path().join(format!("image-{i}.bin"));
        files::write_random(&image, 32 * MIB, i as u64)?;
        Ok(image)
    });
    let mut room = Room::with_images(lab, &setup, images.collect::<Result<_>>()?)?;
    room.start(0..setup.clients)?;
    room.finish()?;
    let ends = (0..SESSIONS).map(|session| Ok(room.time_of(|i| i % SESSIONS == session)?.as_secs_f64()));
    let ends = ends.collect::<Result<Vec<_>>>()?;
    let (mean, last) = (ends.iter().sum::<f64>() / SESSIONS as f64, ends.iter().copied().fold(0.0, f64::max));
    let ideal = room.wire_bytes()? as f64 * 8.0 / setup.rate as f64;
    findings.figure("bytes on the wire by the total rate", ideal, "s");
    findings.at_most("wall", last, "s", ideal * 1.05 + 0.5);
    findings.at_most("slowest session by the mean", last / mean, "", UNFAIR);
    findings.at_most("wire/image", room.wire_ratio()?, "", 1.07);
    room.add_figures(findings)
}
