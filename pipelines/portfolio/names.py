"""Names and addresses of people who do not exist; ingest must drop them."""

WOMEN = (
    "María", "Rosa", "Ana", "Luz", "Juana", "Carmen", "Elena", "Nélida", "Yolanda", "Flor de María", "Begoña",
    "Milagros", "Gladys", "Inés", "Sofía", "Maribel", "Nancy", "Lucía", "Verónica", "Ángela",
)  # fmt: skip
MEN = (
    "José", "Juan", "Luis", "Carlos", "Jorge", "Víctor", "Julio", "César", "Miguel Ángel", "Jesús", "Wílmer", "Édgar",
    "Percy", "Raúl", "Iñigo", "Óscar", "Hernán", "Walter", "Andrés", "Fermín",
)  # fmt: skip
SURNAMES = (
    "Quispe", "Mamani", "Flores", "Huamán", "Rodríguez", "Sánchez", "Condori", "Ñahui", "Choque", "Vilca", "Rojas",
    "Castañeda", "Muñoz", "Peña", "Núñez", "Chávez", "Gutiérrez", "Cárdenas", "Apaza", "Ccori", "Ibáñez", "Zúñiga",
    "Vásquez", "Torres", "Ñaupari", "Paredes", "Yupanqui", "Saldaña", "Díaz", "Huayta", "Briceño", "Ordóñez",
)  # fmt: skip
STREETS = (
    "Jr. Junín", "Av. El Sol", "Jr. Ayacucho", "Psje. Los Ángeles", "Av. Túpac Amaru", "Jr. Áncash", "Calle Unión",
    "Av. Ferrocarril", "Jr. Bolognesi", "AA.HH. Señor de los Milagros; Mz. Ñ Lt.", "Urb. La Campiña", "Av. Perú",
    "Carretera Central km", "Jr. 28 de Julio", "Av. José Carlos Mariátegui", "Comunidad campesina Añashuayco",
)  # fmt: skip
