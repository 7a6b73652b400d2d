//! What one program tells another of a trace, in the form of W3C Trace Context.

/// A trace, a span of it, and whether it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether whoever began it records it.
    pub sampled: bool,
}

impl Context {
    /// Of a header `traceparent`; `None` for what is none.
    pub fn parse(header: &str) -> Option<Self> {
        let header = header.trim_matches([' ', '\t']);
        let (told, rest) = (header.get(..55)?, header.get(55..)?);
        let mut parts = told.split('-');
        let (version, trace, span) =
            (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        // Later versions may tell more behind it.
        let is_known =
            if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        if parts.next().is_some() || version == 0xff || trace == 0 || span == 0 || !is_known {
            return None;
        }
        Some(Self { trace, span: u64::try_from(span).ok()?, sampled: flags & 1 == 1 })
    }

    /// As such a header.
    pub fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// A number of so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit)).then_some(())?;
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Examples of the recommendation, and what it calls invalid.
    #[test]
    fn headers_are_those_of_the_recommendation() {
        let told = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = Context::parse(told).unwrap();
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.span, context.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(context.header(), told);
        assert!(!Context::parse(&told.replace("-01", "-00")).unwrap().sampled);
        assert!(Context::parse(&told.replace("-01", "-03")).unwrap().sampled, "other flags");
        assert_eq!(Context::parse(&format!("01{}-more", &told[2..])), Some(context));
        let zeros = "0".repeat(32);
        for odd in [
            String::new(),
            told[..54].into(),
            format!("{told}-more"),
            format!("{told}0"),
            told.replace("00-", "ff-"),
            told.to_uppercase(),
            told.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros),
            told.replace("00f067aa0ba902b7", &zeros[..16]),
            told.replace("4bf9", "+bf9"),
            told.replace('-', "_"),
            "ü".repeat(40),
        ] {
            assert_eq!(Context::parse(&odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn any_context_comes_back(trace in 1_u128.., span in 1_u64.., sampled: bool) {
            let context = Context { trace, span, sampled };
            prop_assert_eq!(Context::parse(&context.header()), Some(context));
        }

        #[test]
        fn any_text_is_one_or_none(text: String) {
            let _none = Context::parse(&text);
        }
    }
}
