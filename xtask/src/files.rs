//! Images and their copies.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

const CHUNK: usize = 1 << 20;

/// Writes `bytes` bytes that no compressor could shrink; the same ones for the same seed.
pub(crate) fn write_random(path: &Path, bytes: u64, seed: u64) -> Result<()> {
    write_random_at(path, &[(0, bytes)], bytes, seed)
}

/// Writes a file of `size` bytes, holes but for random bytes in the `extents` (offset, bytes).
pub(crate) fn write_random_at(path: &Path, extents: &[(u64, u64)], size: u64, seed: u64) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.set_len(size)?;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut chunk = vec![0; CHUNK];
        for &(offset, bytes) in extents {
            file.seek(SeekFrom::Start(offset))?;
            let mut left = bytes;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                random.fill(&mut chunk[..part]);
                file.write_all(&chunk[..part])?;
                left -= part as u64;
            }
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// An error naming the first byte in which `copy` is not `original`.
pub(crate) fn check_copy(original: &Path, copy: &Path) -> Result<()> {
    let open = |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let (mut left, right) = (open(original)?, open(copy)?);
    let (want, got) = (left.metadata()?.len(), right.metadata()?.len());
    if want != got {
        bail!("{} has {got} bytes, the image has {want}", copy.display());
    }
    let (mut a, mut b) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut offset = 0;
    loop {
        let part = left.read(&mut a).with_context(|| format!("cannot read {}", original.display()))?;
        if part == 0 {
            return Ok(());
        }
        right.read_exact_at(&mut b[..part], offset).with_context(|| format!("cannot read {}", copy.display()))?;
        if a[..part] != b[..part] {
            let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(0);
            bail!("{} differs from the image at byte {}", copy.display(), offset + at as u64);
        }
        offset += part as u64;
    }
}

/// Lets nobody but its owner read a file.
pub(crate) fn make_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot change the mode of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_with_one_wrong_byte_is_found_and_the_byte_named() {
        let folder = tempfile::tempdir().unwrap();
        let (image, copy) = (folder.path().join("image"), folder.path().join("copy"));
        write_random(&image, 3 * CHUNK as u64 + 5, 1).unwrap();
        std::fs::copy(&image, &copy).unwrap();
        check_copy(&image, &copy).unwrap();

        let wrong = 2 * CHUNK as u64 + 17;
        let mut byte = [0];
        let file = File::options().read(true).write(true).open(&copy).unwrap();
        file.read_exact_at(&mut byte, wrong).unwrap();
        file.write_all_at(&[!byte[0]], wrong).unwrap();
        assert!(check_copy(&image, &copy).unwrap_err().to_string().ends_with(&format!("at byte {wrong}")));
    }

    #[test]
    fn a_sparse_image_holds_data_only_in_its_extents() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        write_random_at(&image, &[(10, 4), (1000, 8)], 2000, 1).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        assert_eq!(bytes.len(), 2000);
        assert!(bytes[..10].iter().chain(&bytes[14..1000]).chain(&bytes[1008..]).all(|&b| b == 0));
        assert!(bytes[1000..1008].iter().any(|&b| b != 0));
    }
}
