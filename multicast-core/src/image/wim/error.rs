//! What is wrong with a WIM, and what is merely odd.

use std::fmt;

use crate::image::error::ImageError;

/// A field of a WIM that lies, with its value and its bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WimError {
    /// It begins as a WIM and ends within the header.
    #[error("it has {file_size} bytes, the header alone takes 208")]
    HeaderTruncated {
        /// Bytes of the file.
        file_size: u64,
    },
    /// A pipable WIM whose writing was not finished, or that was cut.
    #[error("no header at offset {offset}, where a pipable wim has its second one: it was cut or never finished")]
    NoHeaderAtEnd {
        /// Where it should be.
        offset: u64,
    },
    /// It says that it is being written and has no blob table yet.
    #[error("flags are {flags:#x} (being written) and there is no blob table: it was never finished")]
    Unfinished {
        /// The header's flags.
        flags: u32,
    },
    /// A number beyond its bound.
    #[error("{field} is {value}, it must be {limit}")]
    Field {
        /// Which one.
        field: &'static str,
        /// As it stands in the file.
        value: u64,
        /// What is allowed.
        limit: String,
    },
    /// An uncompressed resource whose two sizes differ.
    #[error("{what} is not compressed, but has size {size} and original size {original_size}")]
    Sizes {
        /// Which one.
        what: WimPart,
        /// Bytes in the file.
        size: u64,
        /// Bytes it says it expands to.
        original_size: u64,
    },
    /// A resource that lies within the header.
    #[error("{what} at offset {offset} lies within the header of 208 bytes")]
    InHeader {
        /// Which one.
        what: WimPart,
        /// Its first byte.
        offset: u64,
    },
    /// A resource that reaches beyond the end of the file.
    #[error("{what} at offset {offset} + size {size} exceeds the file size {file_size}")]
    Outside {
        /// Which one.
        what: WimPart,
        /// Its first byte.
        offset: u64,
        /// Its bytes.
        size: u64,
        /// Bytes of the file.
        file_size: u64,
    },
    /// The file could not be read.
    #[error(transparent)]
    Read(Box<ImageError>),
}

impl From<ImageError> for WimError {
    fn from(error: ImageError) -> Self {
        Self::Read(Box::new(error))
    }
}

/// A part of a WIM that an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WimPart {
    /// The table of all blobs (Microsoft: lookup table).
    BlobTable,
    /// The description of the images.
    XmlData,
    /// The copy of it at the start of a pipable WIM.
    LeadingXml,
    /// The metadata of the image that boots.
    BootMetadata,
    /// The table of SHA-1 sums over the file.
    IntegrityTable,
    /// The resource of this entry of the blob table, counted from 0.
    Blob(u64),
    /// The metadata of an image, by its entry of the blob table, counted from 0.
    Metadata(u64),
    /// A solid resource, by its entry of the blob table, counted from 0.
    SolidResource(u64),
}

impl fmt::Display for WimPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlobTable => f.write_str("blob table"),
            Self::XmlData => f.write_str("xml data"),
            Self::LeadingXml => f.write_str("leading xml data"),
            Self::BootMetadata => f.write_str("boot metadata"),
            Self::IntegrityTable => f.write_str("integrity table"),
            Self::Blob(entry) => write!(f, "blob (entry {entry} of the blob table)"),
            Self::Metadata(entry) => write!(f, "metadata (entry {entry} of the blob table)"),
            Self::SolidResource(entry) => write!(f, "solid resource (entry {entry} of the blob table)"),
        }
    }
}

/// Something odd that does not keep a WIM from being delivered or used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum WimNote {
    /// The blob table is compressed, which no known program writes: the metadata of the images
    /// cannot be located and are not sent first.
    CompressedBlobTable,
    /// The header says that somebody is writing to it, or was interrupted.
    WriteInProgress,
    /// The bootable image does not exist; readers take none as bootable.
    BootIndex {
        /// As it stands in the header.
        index: u32,
        /// Images by the header.
        images: u32,
    },
    /// There are more metadata resources than images; readers take the first ones.
    SurplusMetadata {
        /// Metadata resources.
        found: u64,
        /// Images by the header.
        images: u32,
    },
}

impl fmt::Display for WimNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CompressedBlobTable => {
                f.write_str("the blob table is compressed: the metadata cannot be located and are not sent first")
            }
            Self::WriteInProgress => f.write_str("the header says that it is being written to"),
            Self::BootIndex { index, images } => {
                write!(f, "the boot index is {index}, but there are only {images} images: none will boot")
            }
            Self::SurplusMetadata { found, images } => {
                write!(f, "the blob table lists {found} metadata resources for {images} images")
            }
        }
    }
}
