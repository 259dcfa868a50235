//! Any file that may be a WIM.

use multicast_core::image::wim::Wim;

/// Whatever a WIM's fields claim, the ranges named lie within the file. Whether it is a sound WIM.
pub fn wim(file: &[u8]) -> bool {
    let Ok(Some(wim)) = Wim::from_bytes(file) else { return false };
    let mut end = None;
    for range in wim.priority_ranges() {
        assert!(range.start < range.end && range.end <= file.len() as u64, "{range:?}");
        assert!(end.is_none_or(|end| end < range.start), "sorted, and none touches another");
        end = Some(range.end);
    }
    assert!(wim.metadata().len() <= wim.header().image_count as usize);
    assert!(wim.metadata().iter().all(|range| range.start <= range.end && range.end <= file.len() as u64));
    let told = wim.notes().iter().map(ToString::to_string).chain([wim.summary().to_string()]);
    assert!(told.into_iter().all(|line| !line.is_empty()));
    true
}
