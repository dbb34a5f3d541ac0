//! The format of a backup file: a line that names it, then blocks.
//!
//! A block is a byte of kind, four of length, that many of contents, and a checksum: the SHA-256 of the
//! whole file up to there. One pass of the digest that the stores use already thus gives the checksum of
//! each block, notices one that is missing, doubled or moved, and in the last block is that of the whole
//! file. A header comes first, then blocks of rows, then of changes, then a trailer; nothing after it.
//!
//! A record in a block is four bytes of key length, four of value length, key and value; a length of all
//! ones says that the key was deleted. Numbers are big-endian, header and trailer CBOR.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use minicbor::{CborLen, Decode, Encode};
use sha2::{Digest, Sha256};

use super::BackupSummary;
use crate::store::{Key, StoreError};

/// The newest format of backup files that this version reads, and the one it writes. The line, the
/// blocks and the header's first and third field stay as they are in every format.
pub(super) const BACKUP_FORMAT: u32 = 1;

const NAME: &[u8] = b"amadare backup\n";

/// A block is ended when it has come to this size: large enough that its checksum costs nothing.
const BLOCK_BYTES: usize = 64 * 1024;

/// The largest block that is read or written. The engines' largest values are far below; a length that
/// was changed must not make us take memory for it.
const MAX_BLOCK_BYTES: usize = 1024 * 1024;

const RECORD_HEAD_BYTES: usize = 8;

const DELETED: u32 = u32::MAX;

const HEADER: u8 = b'h';
const TRAILER: u8 = b't';

/// A deletion has no value.
pub(super) type Record = (Key, Option<Vec<u8>>);

/// The two kinds of blocks with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// In the order of their keys.
    Rows,
    /// In the order in which they were committed.
    Changes,
}

impl Part {
    fn kind(self) -> u8 {
        match self {
            Part::Rows => b'r',
            Part::Changes => b'c',
        }
    }
}

#[derive(Debug, Encode, Decode, CborLen)]
pub(super) struct Header {
    #[n(0)]
    pub(super) format: u32,
    #[n(1)]
    pub(super) store_format: u32,
    #[n(2)]
    pub(super) written_by: String,
}

impl Header {
    pub(super) fn new(store_format: u32) -> Header {
        Header { format: BACKUP_FORMAT, store_format, written_by: env!("CARGO_PKG_VERSION").into() }
    }
}

#[derive(Debug, Encode, Decode, CborLen)]
pub(super) struct Trailer {
    #[n(0)]
    pub(super) rows: u64,
    #[n(1)]
    pub(super) changes: u64,
    #[n(2)]
    pub(super) ended_ms: i64,
}

#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    digest: Sha256,
    /// The records of the block that has not ended: at most [`BLOCK_BYTES`] and one record.
    block: Vec<u8>,
    part: Part,
    size_bytes: u64,
}

impl Writer {
    pub(super) fn new(file: File, path: &Path) -> Writer {
        let (digest, path) = (Sha256::new(), path.to_owned());
        Writer { file, path, digest, block: Vec::new(), part: Part::Rows, size_bytes: 0 }
    }

    pub(super) fn begin(&mut self, header: &Header) -> Result<(), StoreError> {
        self.write(NAME)?;
        self.write_block(HEADER, &encoded(header))?;
        Ok(())
    }

    pub(super) fn record(&mut self, part: Part, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let size_bytes = RECORD_HEAD_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        if size_bytes > MAX_BLOCK_BYTES {
            return Err(StoreError::ValueTooLarge { size_bytes, max_bytes: MAX_BLOCK_BYTES });
        }
        if part != self.part || self.block.len() + size_bytes > BLOCK_BYTES {
            self.end_block()?;
            self.part = part;
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a record fits into a block");
        self.block.extend(length(key).to_be_bytes());
        self.block.extend(value.map_or(DELETED, length).to_be_bytes());
        self.block.extend(key);
        self.block.extend(value.unwrap_or_default());
        Ok(())
    }

    /// Writes what is left, without a trailer.
    pub(super) fn end_block(&mut self) -> Result<(), StoreError> {
        let block = std::mem::take(&mut self.block);
        if !block.is_empty() {
            self.write_block(self.part.kind(), &block)?;
        }
        Ok(())
    }

    /// Ends the file; it and its last checksum.
    pub(super) fn end(mut self, trailer: &Trailer) -> Result<(File, [u8; 32]), StoreError> {
        self.end_block()?;
        let sum = self.write_block(TRAILER, &encoded(trailer))?;
        Ok((self.file, sum))
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn into_file(self) -> File {
        self.file
    }

    pub(super) fn write_block(&mut self, kind: u8, contents: &[u8]) -> Result<[u8; 32], StoreError> {
        let length = u32::try_from(contents.len()).expect("blocks are bounded");
        self.write(&[&[kind], length.to_be_bytes().as_slice()].concat())?;
        self.write(contents)?;
        let sum: [u8; 32] = self.digest.clone().finalize().into();
        self.write(&sum)?;
        Ok(sum)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.digest.update(bytes);
        self.size_bytes += bytes.len() as u64;
        let writing =
            |cause| StoreError::Io { doing: format!("cannot write {}", self.path.display()), cause };
        self.file.write_all(bytes).map_err(writing)
    }
}

/// Reads blocks, each checked before anything in it is looked at.
#[derive(Debug)]
pub(super) struct Blocks {
    from: BufReader<File>,
    path: PathBuf,
    digest: Sha256,
    contents: Vec<u8>,
    /// How far the records in it have been read.
    at: usize,
    sum: [u8; 32],
    size_bytes: u64,
}

impl Blocks {
    pub(super) fn new(file: File, path: &Path) -> Blocks {
        Blocks {
            from: BufReader::with_capacity(BLOCK_BYTES, file),
            path: path.to_owned(),
            digest: Sha256::new(),
            contents: Vec::new(),
            at: 0,
            sum: [0; 32],
            size_bytes: 0,
        }
    }

    /// Goes to the next block, whose kind it gives; none at the end of the file.
    pub(super) fn next_block(&mut self) -> Result<Option<u8>, StoreError> {
        if self.is_at_end()? {
            return Ok(None);
        }
        let (mut kind, mut length) = ([0], [0; 4]);
        self.read(&mut kind)?;
        self.read(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_BLOCK_BYTES {
            return Err(self.damaged(format!("it has a block of {length} bytes")));
        }
        let mut contents = std::mem::take(&mut self.contents);
        contents.resize(length, 0);
        self.read(&mut contents)?;
        let expected: [u8; 32] = self.digest.clone().finalize().into();
        let mut sum = [0; 32];
        self.read(&mut sum)?;
        if sum != expected {
            return Err(self.damaged(format!("the checksum before byte {} is wrong", self.size_bytes)));
        }
        self.sum = sum;
        (self.contents, self.at) = (contents, 0);
        Ok(Some(kind[0]))
    }

    /// The next record of this block.
    pub(super) fn next_record(&mut self) -> Result<Option<Record>, StoreError> {
        if self.at == self.contents.len() {
            return Ok(None);
        }
        let number = |at: usize| self.contents.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        let lengths = number(self.at).zip(number(self.at + 4));
        let record = lengths.and_then(|(key, value)| {
            let (key_bytes, value_bytes) = (u32::from_be_bytes(key), u32::from_be_bytes(value));
            let rest = &self.contents[self.at + RECORD_HEAD_BYTES..];
            let (key, rest) = rest.split_at_checked(key_bytes as usize)?;
            if value_bytes == DELETED {
                return Some((key.to_vec(), None));
            }
            Some((key.to_vec(), Some(rest.get(..value_bytes as usize)?.to_vec())))
        });
        let (key, value) = record.ok_or_else(|| self.damaged("a record is longer than its block".into()))?;
        self.at += RECORD_HEAD_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
        Ok(Some((key, value)))
    }

    fn decode<'b, T: Decode<'b, ()>>(&'b self, what: &str) -> Result<T, StoreError> {
        minicbor::decode(&self.contents).map_err(|error| self.damaged(format!("its {what}: {error}")))
    }

    fn is_at_end(&mut self) -> Result<bool, StoreError> {
        let reading = StoreError::io(format!("cannot read {}", self.path.display()));
        Ok(self.from.fill_buf().map_err(reading)?.is_empty())
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), StoreError> {
        self.from.read_exact(into).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(CUT_SHORT.into()),
            _ => StoreError::Io { doing: format!("cannot read {}", self.path.display()), cause },
        })?;
        self.digest.update(&*into);
        self.size_bytes += into.len() as u64;
        Ok(())
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::BackupDamaged { file: self.path.clone(), what }
    }
}

const CUT_SHORT: &str = "its end is missing";

/// Reads a backup file from its first to its last byte.
#[derive(Debug)]
pub(super) struct Contents {
    blocks: Blocks,
    header: Header,
    part: Part,
    rows: u64,
    changes: u64,
    last_row: Option<Key>,
    trailer: Option<Trailer>,
}

impl Contents {
    pub(super) fn open(path: &Path) -> Result<Contents, StoreError> {
        let file =
            File::open(path).map_err(StoreError::io(format!("cannot open the backup {}", path.display())))?;
        let mut blocks = Blocks::new(file, path);
        let mut name = [0; NAME.len()];
        blocks.read(&mut name)?;
        if name != NAME {
            return Err(blocks.damaged("it is not a backup of amadare, or its beginning was changed".into()));
        }
        if blocks.next_block()? != Some(HEADER) {
            return Err(blocks.damaged("it has no header".into()));
        }
        let header: Header = blocks.decode("header")?;
        if header.format > BACKUP_FORMAT {
            return Err(StoreError::BackupNewer { file: path.to_owned(), written_by: header.written_by });
        }
        blocks.contents.clear();
        let (part, last_row, trailer) = (Part::Rows, None, None);
        Ok(Contents { blocks, header, part, rows: 0, changes: 0, last_row, trailer })
    }

    /// The next row or change; none when the whole file has been read and found good.
    pub(super) fn next(&mut self) -> Result<Option<Record>, StoreError> {
        while self.trailer.is_none() {
            if let Some(record) = self.blocks.next_record()? {
                self.count(&record)?;
                return Ok(Some(record));
            }
            match (self.blocks.next_block()?, self.part) {
                (Some(b'r'), Part::Rows) => {}
                (Some(b'c'), _) => self.part = Part::Changes,
                (Some(TRAILER), _) => self.end()?,
                (Some(kind), _) => {
                    return Err(self.blocks.damaged(format!("a block of kind {kind} is out of place")));
                }
                (None, _) => return Err(self.blocks.damaged(CUT_SHORT.into())),
            }
        }
        Ok(None)
    }

    /// # Errors
    /// It has not been read to its end.
    pub(super) fn summary(&self) -> Result<BackupSummary, StoreError> {
        let trailer = self.trailer.as_ref().ok_or_else(|| self.blocks.damaged(CUT_SHORT.into()))?;
        let ended = Timestamp::from_millisecond(trailer.ended_ms)
            .map_err(|error| self.blocks.damaged(format!("its instant: {error}")))?;
        Ok(BackupSummary {
            ended,
            store_format: self.header.store_format,
            written_by: self.header.written_by.clone(),
            rows: self.rows,
            changes: self.changes,
            size_bytes: self.blocks.size_bytes,
            sha256: self.blocks.sum,
        })
    }

    pub(super) fn store_format(&self) -> u32 {
        self.header.store_format
    }

    fn count(&mut self, (key, value): &Record) -> Result<(), StoreError> {
        match self.part {
            Part::Changes => self.changes += 1,
            Part::Rows if value.is_none() || self.last_row.as_ref().is_some_and(|last| key <= last) => {
                return Err(self.blocks.damaged("its rows are out of order".into()));
            }
            Part::Rows => {
                self.rows += 1;
                self.last_row = Some(key.clone());
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let trailer: Trailer = self.blocks.decode("trailer")?;
        if (trailer.rows, trailer.changes) != (self.rows, self.changes) {
            return Err(self.blocks.damaged("its counts do not fit what is in it".into()));
        }
        if !self.blocks.is_at_end()? {
            return Err(self.blocks.damaged("there is more after its end".into()));
        }
        self.trailer = Some(trailer);
        Ok(())
    }
}

fn encoded(value: &(impl Encode<()> + CborLen<()>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(minicbor::len(value));
    minicbor::encode(value, &mut bytes).expect("writing to memory does not fail");
    bytes
}
