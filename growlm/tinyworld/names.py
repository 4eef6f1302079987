"""Names of people, apart for each split."""

from growlm.tinyworld.words import Words, listed

GIRLS = Words(
    train=listed(
        "Lily Sue Mia Lucy Anna Sara Amy Sally Jane Lila Sarah Molly Jill Emma Mary Bella Mimi Jen Lisa Emily Luna "
        "Ella Polly Ann Mandy Susie Millie Kim Tina Lulu Kate Betty"
    ),
    validation=("Jenny", "Maria", "Annie", "Rosie"),
    test=("Alice", "Lola", "Ellie", "Sophie", "Clara"),
)
BOYS = Words(
    train=listed(
        "Tim Tom Ben Max Sam Timmy Bob Jack John Joe Tommy Billy Jimmy Benny Leo Jim Sammy Bobby Jerry Fred Andy "
        "Pete Dave Danny Alex Toby Bill Freddy Mike Ted"
    ),
    validation=("Jake", "Johnny", "Finn", "James"),
    test=("Peter", "Charlie", "Henry", "Paul", "George"),
)

PETS = Words(
    train=("Spot", "Buddy", "Whiskers", "Rex", "Coco", "Daisy", "Penny", "Ollie"),
    validation=("Brownie", "Fin"),
    test=("Poppy", "Momo"),
)
