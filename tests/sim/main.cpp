// filled next
int main() {
  return 0;
}
