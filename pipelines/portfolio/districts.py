"""Districts in which the borrowers live: facts, with the INEI coding of the UBIGEO (RENIEC's differs).

Source: Instituto Nacional de Estadística e Informática, codes of departments, provinces and districts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class District:
    """A district.

    Args:
        ubigeo: Six digits, INEI coding: department, province, district.
        name: Its name.
        department: Its department.
        weight: Borrowers who live there, in relation to those elsewhere.
        rural: Share of them who live in the countryside.
        speech: Shares of Spanish, Quechua, Aymara and Asháninka as mother tongue.
    """

    ubigeo: str
    name: str
    department: str
    weight: float
    rural: float
    speech: tuple[float, float, float, float]


_COAST = (0.97, 0.03, 0.0, 0.0)
_CAPITAL = (0.88, 0.11, 0.01, 0.0)
_NORTH = (0.99, 0.01, 0.0, 0.0)
_CENTRE = (0.80, 0.20, 0.0, 0.0)
_QUECHUA = (0.45, 0.55, 0.0, 0.0)
_PUNO_NORTH = (0.40, 0.55, 0.05, 0.0)
_PUNO_SOUTH = (0.40, 0.05, 0.55, 0.0)
_SOUTH = (0.80, 0.15, 0.05, 0.0)
_JUNGLE = (0.97, 0.02, 0.0, 0.01)
_SELVA_CENTRAL = (0.80, 0.08, 0.0, 0.12)

DISTRICTS = (
    District("010101", "Chachapoyas", "Amazonas", 1.0, 0.20, _NORTH),
    District("010701", "Bagua Grande", "Amazonas", 1.2, 0.40, _NORTH),
    District("020101", "Huaraz", "Áncash", 1.6, 0.25, _CENTRE),
    District("021201", "Caraz", "Áncash", 0.8, 0.45, _CENTRE),
    District("021801", "Chimbote", "Áncash", 1.8, 0.05, _COAST),
    District("030101", "Abancay", "Apurímac", 1.4, 0.25, _QUECHUA),
    District("030201", "Andahuaylas", "Apurímac", 1.5, 0.40, _QUECHUA),
    District("040104", "Cerro Colorado", "Arequipa", 3.2, 0.05, _SOUTH),
    District("040112", "Paucarpata", "Arequipa", 2.4, 0.02, _SOUTH),
    District("040520", "Majes", "Arequipa", 1.6, 0.35, _SOUTH),
    District("050101", "Ayacucho", "Ayacucho", 1.8, 0.15, _QUECHUA),
    District("050401", "Huanta", "Ayacucho", 1.0, 0.45, _QUECHUA),
    District("060101", "Cajamarca", "Cajamarca", 2.2, 0.25, _NORTH),
    District("060601", "Cutervo", "Cajamarca", 0.8, 0.65, _NORTH),
    District("060801", "Jaén", "Cajamarca", 1.5, 0.30, _NORTH),
    District("070106", "Ventanilla", "Callao", 1.8, 0.01, _CAPITAL),
    District("080101", "Cusco", "Cusco", 2.2, 0.08, _QUECHUA),
    District("080601", "Sicuani", "Cusco", 1.4, 0.35, _QUECHUA),
    District("080901", "Santa Ana", "Cusco", 1.0, 0.40, _QUECHUA),
    District("090101", "Huancavelica", "Huancavelica", 0.8, 0.35, _QUECHUA),
    District("090206", "Paucará", "Huancavelica", 0.5, 0.75, _QUECHUA),
    District("100101", "Huánuco", "Huánuco", 1.5, 0.20, _CENTRE),
    District("110101", "Ica", "Ica", 2.0, 0.15, _COAST),
    District("110201", "Chincha Alta", "Ica", 1.2, 0.10, _COAST),
    District("120101", "Huancayo", "Junín", 2.2, 0.08, _CENTRE),
    District("120114", "El Tambo", "Junín", 2.4, 0.10, _CENTRE),
    District("120601", "Satipo", "Junín", 1.2, 0.50, _SELVA_CENTRAL),
    District("130101", "Trujillo", "La Libertad", 2.6, 0.02, _NORTH),
    District("130102", "El Porvenir", "La Libertad", 2.2, 0.03, _NORTH),
    District("130901", "Huamachuco", "La Libertad", 0.9, 0.50, _NORTH),
    District("140101", "Chiclayo", "Lambayeque", 2.4, 0.02, _NORTH),
    District("140105", "José Leonardo Ortiz", "Lambayeque", 2.2, 0.02, _NORTH),
    District("150103", "Ate", "Lima", 3.2, 0.01, _CAPITAL),
    District("150110", "Comas", "Lima", 3.0, 0.01, _CAPITAL),
    District("150132", "San Juan de Lurigancho", "Lima", 4.2, 0.01, _CAPITAL),
    District("150142", "Villa El Salvador", "Lima", 2.8, 0.01, _CAPITAL),
    District("160101", "Iquitos", "Loreto", 1.2, 0.10, _JUNGLE),
    District("170101", "Tambopata", "Madre de Dios", 1.0, 0.25, _SOUTH),
    District("180101", "Moquegua", "Moquegua", 0.8, 0.15, _SOUTH),
    District("180301", "Ilo", "Moquegua", 0.8, 0.02, _SOUTH),
    District("190101", "Chaupimarca", "Pasco", 0.6, 0.10, _CENTRE),
    District("200101", "Piura", "Piura", 2.6, 0.06, _NORTH),
    District("200114", "Tambo Grande", "Piura", 1.2, 0.60, _NORTH),
    District("200601", "Sullana", "Piura", 1.8, 0.10, _NORTH),
    District("210101", "Puno", "Puno", 1.8, 0.20, _PUNO_SOUTH),
    District("210201", "Azángaro", "Puno", 0.8, 0.60, _PUNO_NORTH),
    District("210501", "Ilave", "Puno", 0.9, 0.65, _PUNO_SOUTH),
    District("211101", "Juliaca", "Puno", 3.0, 0.12, _PUNO_NORTH),
    District("220101", "Moyobamba", "San Martín", 1.2, 0.35, _JUNGLE),
    District("220901", "Tarapoto", "San Martín", 1.5, 0.08, _JUNGLE),
    District("230101", "Tacna", "Tacna", 1.6, 0.05, _SOUTH),
    District("240101", "Tumbes", "Tumbes", 1.0, 0.10, _NORTH),
    District("250101", "Callería", "Ucayali", 1.2, 0.12, _JUNGLE),
)
