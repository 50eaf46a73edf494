"""The course: exercises, quizzes, progress and notebooks; the part that knows the book."""
