//! Packages: any file of a folder, for whoever fetches it.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::folder_mark;

