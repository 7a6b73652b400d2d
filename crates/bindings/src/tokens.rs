//! Tokens as Python sees them: one by one as values, many as the elements of a NumPy array.

use std::hash::{DefaultHasher, Hasher};

use embedded_db_engine::common::{AXES, TOKEN_BYTES, Token as Packed, clock};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};

use crate::arguments::{Count, FirstId, Flags, TokenId};
use crate::convert::moment;
use crate::errors::{attached, invalid, shown};
use crate::token_array::TokenArray;
use crate::values::datetime;

/// 64 bytes that say where something lies on eight axes; a value, which never changes.
///
/// ``Token(id)`` is known by a number from 0 to 2**64 - 1. Any of these may be given by name:
/// ``physical``, ``sensory``, ``motor``, ``emotional``, ``cognitive``, ``social``, ``temporal`` and
/// ``abstract`` (0.0 when left out), ``weight`` (1.0), ``flags`` (16 bits that are yours, 0),
/// ``created_at`` (now) and ``updated_at`` (as ``created_at``). Numbers are kept as floats of 32
/// bits.
///
/// Examples:
///     >>> from embedded_db import Token
///     >>> token = Token(42, emotional=0.5, abstract=-1, flags=0b101)
///     >>> token.id, token.weight, token.flags, token
///     (42, 1.0, 5, Token(42, emotional=0.5, abstract=-1.0, flags=5))
///     >>> token.physical, token.sensory, token.motor, token.emotional
///     (0.0, 0.0, 0.0, 0.5)
///     >>> token.cognitive, token.social, token.temporal, token.abstract
///     (0.0, 0.0, 0.0, -1.0)
///     >>> token.coordinates
///     (0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, -1.0)
///     >>> token.created_at == token.updated_at, token.created_at.tzname()
///     (True, 'UTC')
///     >>> nearer = token.clone(abstract=0.25)
///     >>> nearer.abstract, token.abstract, token.clone() == token
///     (0.25, -1.0, True)
///     >>> len(token.to_bytes()), Token.from_bytes(token.to_bytes()) == token
///     (64, True)
///     >>> len(Token.create_batch(1000))
///     1000
#[pyclass(frozen, module = "embedded_db._native")]
pub(crate) struct Token {
    pub(crate) packed: Packed,
}

/// A number as a token holds it.
fn number(name: &str, given: &Bound<'_, PyAny>) -> PyResult<f32> {
    let refused = || {
        let shown = shown(given);
        invalid(given.py(), format!("{name} is {shown}; it must be a finite number of 32 bits"))
    };
    let number = given.extract::<f64>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(given.py()) { refused() } else { error }
    })? as f32;
    if number.is_finite() { Ok(number) } else { Err(refused()) }
}

/// Puts named values into a token; which of its times are among them.
fn put(packed: &mut Packed, fields: &Bound<'_, PyDict>) -> PyResult<[bool; 2]> {
    let (mut created, mut updated) = (false, false);
    for (name, value) in fields {
        let name = name.extract::<&str>()?;
        if let Some(axis) = AXES.iter().position(|axis| *axis == name) {
            packed.coordinates[axis] = number(name, &value)?;
            continue;
        }
        match name {
            "id" => packed.id = value.extract::<TokenId>()?.0,
            "weight" => packed.weight = number(name, &value)?,
            "flags" => packed.flags = value.extract::<Flags>()?.0,
            "created_at" => {
                packed.created_at = moment(name, &value)?;
                created = true;
            }
            "updated_at" => {
                packed.updated_at = moment(name, &value)?;
                updated = true;
            }
            _ => {
                let message = format!("a token has no field {name:?}");
                return Err(PyTypeError::new_err(message));
            }
        }
    }
    Ok([created, updated])
}

#[pymethods]
impl Token {
    #[new]
    #[pyo3(signature = (id, **fields))]
    fn new(id: TokenId, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut packed = Packed::new(id.0);
        if let Some(fields) = fields {
            let [created, updated] = put(&mut packed, fields)?;
            if created && !updated {
                packed.updated_at = packed.created_at;
            }
        }
        Ok(Self { packed })
    }

    /// Many tokens with ids in a row, in one piece of memory.
    ///
    /// Args:
    ///     count: how many.
    ///     first_id: the id of the first.
    #[classmethod]
    #[pyo3(signature = (count, first_id=FirstId(0)), text_signature = "(count, first_id=0)")]
    fn create_batch(
        kind: &Bound<'_, PyType>,
        count: Count,
        first_id: FirstId,
    ) -> PyResult<TokenArray> {
        TokenArray::in_a_row(kind.py(), count.0, first_id.0)
    }

    /// A token out of the bytes that `to_bytes` gave.
    ///
    /// Args:
    ///     data: 64 bytes.
    #[classmethod]
    fn from_bytes(kind: &Bound<'_, PyType>, data: &[u8]) -> PyResult<Self> {
        let py = kind.py();
        let Ok(bytes) = data.try_into() else {
            let message = format!("data has {} bytes; a token has {TOKEN_BYTES}", data.len());
            return Err(invalid(py, message));
        };
        let packed = Packed::from_bytes(bytes);
        attached(py, || packed.check())?;
        Ok(Self { packed })
    }

    /// The 64 bytes; the documentation of tokens has their layout.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.packed.to_bytes())
    }

    /// The same token, but for the fields that are given.
    ///
    /// Args:
    ///     **fields: as of the class, and ``id``. When there are any, ``updated_at`` is now
    ///         unless it is given.
    #[pyo3(signature = (**fields))]
    fn clone(&self, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut packed = self.packed;
        if let Some(fields) = fields
            && !fields.is_empty()
        {
            let [_, updated] = put(&mut packed, fields)?;
            if !updated {
                packed.updated_at = clock::now();
            }
        }
        Ok(Self { packed })
    }

    // It never changes: a copy is the same object.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let make = slf.get_type().getattr("from_bytes")?;
        (make, (slf.get().to_bytes(py),)).into_pyobject(py)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<Self>();
        other.is_ok_and(|other| other.get().packed.to_bytes() == self.packed.to_bytes())
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.packed.to_bytes());
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let Packed { id, coordinates, weight, flags, .. } = self.packed;
        let mut shown = format!("Token({id}");
        let far = AXES.into_iter().zip(coordinates).filter(|(_, value)| *value != 0.0);
        for (name, value) in far {
            shown += &format!(", {name}={value:?}");
        }
        if weight != 1.0 {
            shown += &format!(", weight={weight:?}");
        }
        if flags != 0 {
            shown += &format!(", flags={flags}");
        }
        shown + ")"
    }

    /// What it is known by.
    #[getter]
    fn id(&self) -> u64 {
        self.packed.id
    }

    /// Where it lies: the eight coordinates.
    #[getter]
    fn coordinates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.packed.coordinates)
    }

    /// The coordinate on the physical axis.
    #[getter]
    fn physical(&self) -> f32 {
        self.packed.coordinates[0]
    }

    /// The coordinate on the sensory axis.
    #[getter]
    fn sensory(&self) -> f32 {
        self.packed.coordinates[1]
    }

    /// The coordinate on the motor axis.
    #[getter]
    fn motor(&self) -> f32 {
        self.packed.coordinates[2]
    }

    /// The coordinate on the emotional axis.
    #[getter]
    fn emotional(&self) -> f32 {
        self.packed.coordinates[3]
    }

    /// The coordinate on the cognitive axis.
    #[getter]
    fn cognitive(&self) -> f32 {
        self.packed.coordinates[4]
    }

    /// The coordinate on the social axis.
    #[getter]
    fn social(&self) -> f32 {
        self.packed.coordinates[5]
    }

    /// The coordinate on the temporal axis.
    #[getter]
    fn temporal(&self) -> f32 {
        self.packed.coordinates[6]
    }

    /// The coordinate on the abstract axis.
    #[getter]
    fn r#abstract(&self) -> f32 {
        self.packed.coordinates[7]
    }

    /// How much it counts.
    #[getter]
    fn weight(&self) -> f32 {
        self.packed.weight
    }

    /// 16 bits that are yours.
    #[getter]
    fn flags(&self) -> u16 {
        self.packed.flags
    }

    /// When it was made (UTC).
    #[getter]
    fn created_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, self.packed.created_at)
    }

    /// When it was changed (UTC).
    #[getter]
    fn updated_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, self.packed.updated_at)
    }
}
