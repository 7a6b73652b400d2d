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

#[cfg(test)]
mod tests {
    use super::*;

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
