//! The Gregorian calendar: days as dates, and times as errors show them.

use crate::clock::Micros;

/// Days from 1970-01-01 to the first of a month of the Gregorian calendar.
pub fn days_before(year: i64, month: u32) -> i64 {
    // Years that begin in March end with their leap day.
    let year = if month < 3 { year - 1 } else { year };
    let months = (i64::from(month) + 9) % 12;
    let days = (153 * months + 2) / 5;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + days - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn date(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let months = (5 * of_year + 2) / 153;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let day = of_year - (153 * months + 2) / 5 + 1;
    (era * 400 + year + i64::from(month < 3), month as u32, day as u32)
}

/// A time as ISO 8601 has it, in UTC: `2024-05-01T07:30:00Z`, with microseconds where there are any.
pub fn iso(micros: Micros) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// A time as RFC 3339 has it, such as `2024-05-01T07:30:00.5+02:00`: with a time zone, within the years 1 to
/// 9999 in UTC. What is finer than a microsecond is cut off.
pub fn parse(text: &str) -> Option<Micros> {
    /// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
    const TIMES: std::ops::RangeInclusive<Micros> =
        -62_135_596_800_000_000..=253_402_300_799_999_999;
    let (day, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [year, month, of_month] = numbers(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let end = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(end);
    let micros = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) => {
            let padded = format!("{digits:0<6}");
            padded.get(..6)?.parse().ok()?
        }
        _ => return None,
    };
    let offset = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let [hours, minutes] = numbers(zone, ':', [2, 2])?;
            let offset = (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60)?;
            if sign == "-" { -offset } else { offset }
        }
    };
    let days = days_before(year, u32::try_from(month).ok()?) + of_month - 1;
    let is_a_day = (1..=12).contains(&month)
        && date(days) == (year, u32::try_from(month).ok()?, u32::try_from(of_month).ok()?);
    if !is_a_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let at = seconds * 1_000_000 + micros;
    TIMES.contains(&at).then_some(at)
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut out = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in out.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for micros in
            [0, -1, 1_709_251_199_000_001, -62_135_596_800_000_000, 253_402_300_799_999_999]
        {
            assert_eq!(parse(&iso(micros)), Some(micros));
        }
        assert_eq!(parse("2024-05-01T09:30:00.5+02:00"), parse("2024-05-01T07:30:00.500000Z"));
        assert_eq!(parse("1969-12-31T23:59:59.9999999-00:00"), Some(-1));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2024",
            "2024-05-01",
            "2024-05-01T07:30:00",
            "2024-02-30T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-05-00T00:00:00Z",
            "2024-05-01T24:00:00Z",
            "2024-05-01T07:30:60Z",
            "2024-05-01T07:30:00.Z",
            "2024-05-01T07:30:00Zx",
            "2024-05-01T07:30:00+2:00",
            "+024-05-01T07:30:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2024-05-01T07:30:00é",
            "2024-05-0é",
            "0000-01-01T00:00:00Z",
            "2024-05-01T07:30:00.1é0Z",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_are_written_as_people_read_them() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_164_799_000_001, "2024-02-28T23:59:59.000001Z"),
            (1_709_251_199_000_000, "2024-02-29T23:59:59Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            // The first and the last time that a datetime can be.
            (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ];
        for (micros, shown) in cases {
            assert_eq!(iso(micros), shown);
        }
    }
}
