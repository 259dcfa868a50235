//! The table of a delivery's files, the same in the manifest and in an offer.

use crate::layout::FileEntry;

/// Why bytes are no file table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileTableError {
    /// It ends too early.
    #[error("the file table has {have} bytes, {what} ends at {need}")]
    Truncated {
        /// What is missing.
        what: &'static str,
        /// Bytes that it needs.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// A name that is no text.
    #[error("the name of file {file} in the file table is not UTF-8")]
    Name {
        /// The file, from 0.
        file: usize,
    },
}

/// Encoded bytes of a table of `files`.
pub(crate) fn file_table_len(files: &[FileEntry]) -> usize {
    2 + files.iter().map(|f| 8 + 2 + f.name.len()).sum::<usize>()
}

/// Appends the table of the files of a layout, which has bounded their number and names.
///
/// | offset | width | field                          |
/// |-------:|------:|--------------------------------|
/// |      0 |     2 | files; then for each:          |
/// |      0 |     8 | size, bytes                    |
/// |      8 |     2 | length of its name, bytes      |
/// |     10 |     … | name, UTF-8                    |
pub(crate) fn encode_file_table(files: &[FileEntry], out: &mut Vec<u8>) {
    out.extend_from_slice(&(files.len() as u16).to_be_bytes());
    for file in files {
        out.extend_from_slice(&file.size.to_be_bytes());
        out.extend_from_slice(&(file.name.len() as u16).to_be_bytes());
        out.extend_from_slice(file.name.as_bytes());
    }
}

/// The table at the start of `bytes`, and how many of them it takes. The names are text, but not
/// yet known to be usable: that is [`Layout::new`](crate::layout::Layout::new)'s to judge.
pub(crate) fn decode_file_table(bytes: &[u8]) -> Result<(Vec<FileEntry>, usize), FileTableError> {
    let mut at = 0;
    let mut next = |what, len: usize| {
        let need = at + len;
        let taken = bytes.get(at..need).ok_or(FileTableError::Truncated { what, need, have: bytes.len() })?;
        at = need;
        Ok::<_, FileTableError>(taken)
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    let count = number(next("the number of files", 2)?) as usize;
    let mut files = Vec::new();
    for file in 0..count {
        let size = number(next("a file's size", 8)?);
        let len = number(next("the length of a file's name", 2)?) as usize;
        let name = str::from_utf8(next("a file's name", len)?).map_err(|_| FileTableError::Name { file })?;
        files.push(FileEntry { name: name.to_owned(), size });
    }
    Ok((files, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_survives_a_round_trip_whatever_follows(
            files in prop::collection::vec((any::<u64>(), ".{0,20}"), 0..5), rest in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let files: Vec<_> = files.into_iter().map(|(size, name)| FileEntry { name, size }).collect();
            let mut bytes = Vec::new();
            encode_file_table(&files, &mut bytes);
            let len = bytes.len();
            prop_assert_eq!(len, file_table_len(&files));
            bytes.extend(rest);
            prop_assert_eq!(decode_file_table(&bytes), Ok((files, len)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_file_table(&bytes);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |bytes: &[u8]| decode_file_table(bytes).unwrap_err().to_string();
        assert_eq!(missing(&[0]), "the file table has 1 bytes, the number of files ends at 2");
        assert_eq!(missing(&[0, 1, 0]), "the file table has 3 bytes, a file's size ends at 10");
        let name = [0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 4, b'a'];
        assert_eq!(missing(&name), "the file table has 13 bytes, a file's name ends at 16");
        let name = [0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0xFF];
        assert_eq!(missing(&name), "the name of file 0 in the file table is not UTF-8");
    }
}
