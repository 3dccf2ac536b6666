//! Avro's primitives, for what is read and written so often that it is done by hand.

/// What is left of a datum. Each read answers none where the bytes hold no such value.
pub(crate) struct Datum<'a>(&'a [u8]);

impl<'a> Datum<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// A `long`, an `int` or the place of an enum's symbol, within the bounds of its type.
    #[inline]
    pub(crate) fn number<N: TryFrom<i64>>(&mut self) -> Option<N> {
        N::try_from(self.long()?).ok()
    }

    /// Zigzag and variable length, the low seven bits first (Avro 1.12, "Binary encoding").
    #[inline]
    fn long(&mut self) -> Option<i64> {
        let mut zigzag = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            zigzag |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                // The tenth byte has room for one bit.
                if shift == 63 && *byte > 1 {
                    return None;
                }
                return Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
        }
        None
    }

    /// `bytes`.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A `string`.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A union of null and `string`.
    #[inline]
    pub(crate) fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.number()? {
            0_u8 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }
}

/// A datum that is being appended to some bytes.
pub(crate) struct DatumWriter<'a>(pub(crate) &'a mut Vec<u8>);

impl DatumWriter<'_> {
    /// A `long`, an `int` or the place of an enum's symbol.
    #[inline]
    pub(crate) fn number(&mut self, number: i64) {
        let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
        while zigzag >= 0x80 {
            self.0.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        self.0.push(zigzag as u8);
    }

    /// `bytes`, or a `string` as such.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // No allocation is larger than an i64 can say.
        self.number(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.0.extend_from_slice(bytes);
    }

    /// A union of null and `string`.
    #[inline]
    pub(crate) fn optional_text(&mut self, text: Option<&str>) {
        self.number(i64::from(text.is_some()));
        if let Some(text) = text {
            self.bytes(text.as_bytes());
        }
    }
}
