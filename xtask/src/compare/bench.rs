//! What rows share: images, the tools that were asked for, and what each of them came to.

use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;

use super::peers::Tool;
use super::race::{Measured, Setting, race};
use super::rows::Row;
use super::table::{Cell, Line};
use crate::lab::Lab;
use crate::{files, interrupt};

/// A run of the comparison.
pub(super) struct Bench<'a> {
    pub(super) lab: &'a Lab,
    quick: bool,
    tools: &'a [String],
    limit: PathBuf,
}

impl<'a> Bench<'a> {
    /// With no tool named all take part.
    pub(super) fn new(lab: &'a Lab, quick: bool, tools: &'a [String]) -> Result<Self> {
        Ok(Self { lab, quick, tools, limit: lab.helper("limit")? })
    }

    /// Bytes of `mib` MiB, a quarter of that in a quick run.
    pub(super) fn mib(&self, mib: u64) -> u64 {
        (mib << 20) / if self.quick { 4 } else { 1 }
    }

    /// Whether the tool of this name takes part.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|tool| tool == name)
    }

    /// Images of random bytes, one a session; gone when the folder is dropped.
    pub(super) fn images(&self, setting: &Setting) -> Result<(TempDir, Vec<PathBuf>)> {
        let folder = self.lab.new_image_folder()?;
        // nginx, too, must be able to read it, whoever it runs as.
        let images: Vec<_> =
            (0..setting.sessions).map(|session| folder.path().join(format!("image-{session}.bin"))).collect();
        for (seed, image) in (1..).zip(&images) {
            files::write_random(image, setting.bytes, seed)?;
        }
        Ok((folder, images))
    }

    /// Lets the tools do the same one after the other.
    pub(super) fn race(&self, setting: &Setting, tools: &[&Tool]) -> Result<Field> {
        let (_folder, images) = self.images(setting)?;
        let mut results = Vec::new();
        for tool in tools.iter().filter(|tool| self.wants(tool.name)) {
            let result = race(self.lab, setting, &images, &self.limit, tool);
            interrupt::check()?;
            let result = result.map_err(|error| format!("{error:#}"));
            match &result {
                Ok(m) => {
                    let lost =
                        if m.arrived < 1.0 { format!(", {:.3} of it arrived", m.arrived) } else { String::new() };
                    let Measured { seconds, goodput, wire, .. } = m;
                    eprintln!("    {:<8} {seconds:.2} s, {goodput:.1} MB/s, wire/image {wire:.3}{lost}", tool.name);
                }
                Err(words) => eprintln!("    {:<8} {words}", tool.name),
            }
            results.push((tool.name, result));
        }
        Ok(Field { results })
    }
}

/// What several tools came to with the same task.
pub(super) struct Field {
    results: Vec<(&'static str, Result<Measured, String>)>,
}

impl Field {
    /// A line of what `figure` takes from each tool's result.
    pub(super) fn line(&self, row: &Row, measure: &str, unit: &str, figure: impl Fn(&Measured) -> f64) -> Line {
        let cells = self.results.iter().map(|(name, result)| {
            let cell = match result {
                Ok(measured) => Cell::Number(figure(measured)),
                Err(words) => Cell::Words(words.clone()),
            };
            ((*name).to_owned(), cell)
        });
        Line::new(row, measure, unit, cells.collect())
    }

    /// A line of what `figure` makes of each tool's results here and in another field.
    pub(super) fn line_with(
        &self,
        other: &Self,
        row: &Row,
        measure: &str,
        unit: &str,
        figure: impl Fn(&Measured, &Measured) -> f64,
    ) -> Line {
        let cells = self.results.iter().map(|(name, result)| {
            let theirs = other.results.iter().find(|(other, _)| other == name).map(|(_, result)| result);
            let cell = match (result, theirs) {
                (Ok(here), Some(Ok(there))) => Cell::Number(figure(here, there)),
                (Err(words), _) | (_, Some(Err(words))) => Cell::Words(words.clone()),
                (Ok(_), None) => Cell::Words("not run".to_owned()),
            };
            ((*name).to_owned(), cell)
        });
        Line::new(row, measure, unit, cells.collect())
    }

    /// What the tool of this name came to.
    pub(super) fn of(&self, name: &str) -> Option<&Measured> {
        self.results.iter().find(|(tool, _)| *tool == name)?.1.as_ref().ok()
    }
}
