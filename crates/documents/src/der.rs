//! Reading DER (ITU-T X.690), as far as documents need it: definite lengths in their shortest form, tags of one
//! byte or two. Nothing is copied; depth is bounded by the caller, who asks for each level.

use super::Malformed;

/// Tags.
pub mod tag {
    pub const INTEGER: u16 = 0x02;
    pub const BIT_STRING: u16 = 0x03;
    pub const OCTET_STRING: u16 = 0x04;
    pub const NULL: u16 = 0x05;
    pub const OID: u16 = 0x06;
    pub const SEQUENCE: u16 = 0x30;
    pub const SET: u16 = 0x31;
    pub const CONTEXT_0: u16 = 0xa0;
    pub const CONTEXT_1: u16 = 0xa1;
    /// `[0] IMPLICIT`, of what is not constructed.
    pub const PLAIN_0: u16 = 0x80;
}

/// What is left of a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Whether lengths need not be in their shortest form.
    any_length: bool,
}

/// A tag with its value.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Two bytes where the first says that there are two.
    pub tag: u16,
    /// Its value.
    pub value: &'a [u8],
    /// Tag, length and value as they stand there.
    pub whole: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of what stands in a row.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, any_length: false }
    }

    /// Of the files of a chip (ISO/IEC 7816-4), which are BER: lengths need not be in their shortest form. What
    /// is nested is read as DER.
    pub fn file(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, any_length: true }
    }

    /// Whether nothing is left.
    pub fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes that are left.
    pub fn left(self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed("there is something behind the end"))
        }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next element, of any tag.
    pub fn any(&mut self) -> Result<Element<'a>, Malformed> {
        let start = self.rest;
        let mut tag = u16::from(self.byte()?);
        if tag & 0x1f == 0x1f {
            let second = self.byte()?;
            if second & 0x80 != 0 {
                return Err(Malformed("a tag is longer than two bytes"));
            }
            tag = tag << 8 | u16::from(second);
        }
        let length = self.length()?;
        let (value, rest) =
            self.rest.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(Element { tag, value, whole: &start[..start.len() - rest.len()] })
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let mut length = 0usize;
        for at in 0..first & 0x7f {
            let byte = self.byte()?;
            if at == 0 && byte == 0 && !self.any_length || at >= 4 {
                return Err(Malformed("a length is not in its shortest form"));
            }
            length = length << 8 | usize::from(byte);
        }
        // 0x80 stands for a length that is not known, which DER does not have.
        let is_short = length < 0x80 && !self.any_length;
        if is_short || first == 0x80 {
            Err(Malformed("a length is not in its shortest form"))
        } else {
            Ok(length)
        }
    }

    /// The next element, which must have this tag.
    pub fn element(&mut self, tag: u16) -> Result<Element<'a>, Malformed> {
        let found = self.any()?;
        if found.tag == tag { Ok(found) } else { Err(Malformed("a tag is not the one expected")) }
    }

    /// The value of the next element, which must have this tag.
    pub fn value(&mut self, tag: u16) -> Result<&'a [u8], Malformed> {
        Ok(self.element(tag)?.value)
    }

    /// The next element if it has this tag.
    pub fn optional(&mut self, tag: u16) -> Result<Option<Element<'a>>, Malformed> {
        let mut ahead = *self;
        if ahead.is_empty() {
            return Ok(None);
        }
        let found = ahead.any()?;
        if found.tag != tag {
            return Ok(None);
        }
        *self = ahead;
        Ok(Some(found))
    }

    /// What is in the next element, which must have this tag.
    pub fn nested(&mut self, tag: u16) -> Result<Reader<'a>, Malformed> {
        Ok(Reader::new(self.value(tag)?))
    }

    /// The magnitude of the next integer, without zeros in front. None of what documents have is negative.
    pub fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        let value = self.value(tag::INTEGER)?;
        match value {
            [] => Err(Malformed("a number has no bytes")),
            [0, rest @ ..] => Ok(rest),
            [first, ..] if first & 0x80 != 0 => Err(Malformed("a number is negative")),
            _ => Ok(value),
        }
    }

    /// The bytes of the next integer without zeros in front, whatever its sign: a number that only stands for
    /// something.
    pub fn number(&mut self) -> Result<&'a [u8], Malformed> {
        let value = self.value(tag::INTEGER)?;
        let zeros = value.iter().take_while(|byte| **byte == 0).count();
        Ok(&value[zeros..])
    }

    /// The next integer, if it is small.
    pub fn small(&mut self) -> Result<u32, Malformed> {
        let value = self.unsigned()?;
        if value.len() > 4 {
            return Err(Malformed("a number is too large"));
        }
        Ok(value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// The next bit string, which must be whole bytes.
    pub fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        match self.value(tag::BIT_STRING)? {
            [0, rest @ ..] => Ok(rest),
            _ => Err(Malformed("a bit string is not of whole bytes")),
        }
    }
}

/// The one element that these bytes are.
pub fn only(bytes: &[u8], tag: u16) -> Result<Reader<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let inside = reader.nested(tag)?;
    reader.end()?;
    Ok(inside)
}

/// An algorithm and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm<'a> {
    /// The value of its object identifier.
    pub oid: &'a [u8],
    /// What is behind it.
    pub parameters: Reader<'a>,
}

impl<'a> Algorithm<'a> {
    /// The next in a sequence.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut inside = reader.nested(tag::SEQUENCE)?;
        Ok(Self { oid: inside.value(tag::OID)?, parameters: inside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        let length = |bytes: &[u8]| Reader::new(bytes).any().map(|found| found.value.len());
        assert_eq!(length(&[0x04, 0x01, 0xff]), Ok(1));
        for wrong in [
            &[0x04, 0x81, 0x01, 0xff][..],
            &[0x04, 0x80, 0x00, 0x00],
            &[0x04, 0x82, 0x00, 0x81],
            &[0x04, 0x85, 1, 0, 0, 0, 0],
            &[0x04, 0x02, 0xff],
            &[0x1f, 0x81, 0x01, 0x00],
            &[0x04],
            &[],
        ] {
            assert!(length(wrong).is_err(), "{wrong:x?}");
        }
    }

    #[test]
    fn numbers_are_not_negative() {
        assert_eq!(Reader::new(&[2, 2, 0, 0x80]).unsigned(), Ok(&[0x80][..]));
        assert!(Reader::new(&[2, 1, 0x80]).unsigned().is_err());
        assert!(Reader::new(&[2, 0]).unsigned().is_err());
        assert!(Reader::new(&[2, 5, 1, 0, 0, 0, 0]).small().is_err());
    }
}
