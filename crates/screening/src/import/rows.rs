//! Tables: records of fields, in bounded memory.

use std::{collections::HashMap, io::BufRead};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{ImportError, text::decode, unsound};

/// Bytes of one record.
pub const ROW_MAX_BYTES: usize = 4 << 20;

/// Fields of one record.
pub const ROW_MAX_FIELDS: usize = 1_000;

/// The byte with which some systems end a file.
const END_OF_FILE: &str = "\u{1a}";

/// Records of a table, one after the other.
pub struct Rows<R> {
    input: R,
    reader: Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    /// Whether a quote is open.
    quoted: bool,
}

/// A record.
pub struct Row {
    /// Its fields.
    pub fields: Vec<String>,
    /// The line on which it ends.
    pub line: u64,
}

impl<R: BufRead> Rows<R> {
    /// A table whose fields are parted by `delimiter`.
    pub fn new(mut input: R, delimiter: u8) -> Result<Self, ImportError> {
        if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Ok(Self {
            input,
            reader,
            output: vec![0; 1 << 16],
            ends: vec![0; ROW_MAX_FIELDS],
            quoted: false,
        })
    }

    /// The next record; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Row>, ImportError> {
        let (mut written, mut fields) = (0, 0);
        loop {
            let buffer = self.input.fill_buf()?;
            let (result, read, wrote, ended) = self.reader.read_record(
                buffer,
                &mut self.output[written..],
                &mut self.ends[fields..],
            );
            let quotes = buffer[..read].iter().filter(|byte| **byte == b'"').count();
            self.quoted ^= quotes % 2 == 1;
            self.input.consume(read);
            written += wrote;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.output.len() >= ROW_MAX_BYTES => {
                    return Err(self.too(&format!("longer than {ROW_MAX_BYTES} bytes")));
                }
                ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 4, 0),
                ReadRecordResult::OutputEndsFull => {
                    return Err(self.too(&format!("wider than {ROW_MAX_FIELDS} fields")));
                }
                ReadRecordResult::End if self.quoted => {
                    return Err(unsound(
                        "the end",
                        "the file ends inside of quotes: it is not whole",
                    ));
                }
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => {
                    let row = self.row(fields);
                    if row.fields == [END_OF_FILE] {
                        (written, fields) = (0, 0);
                        continue;
                    }
                    return Ok(Some(row));
                }
            }
        }
    }

    fn row(&self, fields: usize) -> Row {
        let mut from = 0;
        let cut = |end: &usize| {
            let field = decode(&self.output[from..*end]).into_owned();
            from = *end;
            field
        };
        let fields = self.ends[..fields].iter().map(cut).collect();
        Row { fields, line: self.reader.line() }
    }

    fn too(&self, what: &str) -> ImportError {
        unsound(format!("line {}", self.reader.line()), format!("a record is {what}"))
    }
}

/// A table whose first record names its columns.
pub struct Table<R> {
    rows: Rows<R>,
    columns: HashMap<String, usize>,
}

/// A record of it.
pub struct TableRow<'t> {
    fields: Vec<String>,
    columns: &'t HashMap<String, usize>,
    /// The line on which it ends.
    pub line: u64,
}

impl<R: BufRead> Table<R> {
    /// Reads the names of the columns; `needed` must be among them. With `preamble` the first record that has
    /// all of them is taken, among the first ten.
    pub fn new(
        input: R,
        delimiter: u8,
        needed: &[&str],
        preamble: bool,
    ) -> Result<Self, ImportError> {
        let mut rows = Rows::new(input, delimiter)?;
        for _ in 0..if preamble { 10 } else { 1 } {
            let Some(row) = rows.next()? else { break };
            let columns: HashMap<String, usize> = row
                .fields
                .iter()
                .enumerate()
                .map(|(at, name)| (name.trim().to_ascii_lowercase(), at))
                .collect();
            if needed.iter().all(|name| columns.contains_key(&name.to_ascii_lowercase())) {
                return Ok(Self { rows, columns });
            }
        }
        Err(unsound(
            "line 1",
            format!("the header does not name the columns {}", needed.join(", ")),
        ))
    }

    /// The next record.
    pub fn next(&mut self) -> Result<Option<TableRow<'_>>, ImportError> {
        let row = self.rows.next()?;
        Ok(row.map(|row| TableRow { fields: row.fields, columns: &self.columns, line: row.line }))
    }
}

impl TableRow<'_> {
    /// The field of a column; empty if there is none.
    pub fn get(&self, column: &str) -> &str {
        let place = self.columns.get(&column.to_ascii_lowercase());
        place.and_then(|place| self.fields.get(*place)).map_or("", |field| field.trim())
    }

    /// Whether it has as many fields as there are columns.
    pub fn check(&self) -> Result<(), String> {
        let (have, want) = (self.fields.len(), self.columns.len());
        if have == want {
            Ok(())
        } else {
            Err(format!("{have} fields where the header has {want}"))
        }
    }

    /// Where it stands.
    pub fn place(&self) -> String {
        format!("the record that ends on line {}", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Vec<String>> {
        let mut rows = Rows::new(text, b',').unwrap();
        let mut out = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            out.push(row.fields);
        }
        out
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        assert_eq!(
            read(b"\xef\xbb\xbfa,\"b \"\"c\"\",\nd\"\r\ne,\xe9\r\n\x1a"),
            [["a", "b \"c\",\nd"], ["e", "é"]]
        );
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let mut open = Rows::new(b"1,\"A\n2,B\n".as_slice(), b',').unwrap();
        assert!(open.next().is_ok_and(|row| row.is_some()) && open.next().is_err());
        let hostile = [b"a,\"".as_slice(), &vec![b'x'; ROW_MAX_BYTES * 2]].concat();
        let mut rows = Rows::new(hostile.as_slice(), b',').unwrap();
        assert!(rows.next().is_err());
        let wide = vec![b','; ROW_MAX_FIELDS * 2];
        assert!(Rows::new(wide.as_slice(), b',').unwrap().next().is_err());
    }
}
